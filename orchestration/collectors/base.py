"""What every collector takes and gives, and how a secret is kept out of what it tells."""

import base64
import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

from orchestration.settings import Settings

Rows = list[dict[str, Any]]
_LONG, _LINE, _PIECE = 8, 40, 2000  # characters
_STARTS, _WORD, _GAP = re.compile(r"(?<!\w)\S"), re.compile(r"\w"), r"(?:\s|\\[nrt])"
SECONDS = 45  # a collection ends by then, whatever hangs
NOTHING = "nothing that is expected in seeds/ is there: is this the right cluster?"

SECRET_NAME = re.compile(r"password|secret|key|token|passphrase|credential|jaas|user\.info", re.IGNORECASE)
_OURS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PREFECT_API_KEY")
# Settings of librdkafka that are words of Kafka's own: an error is easier to read with them.
_WORDS = re.compile(r"|none|true|false|default|oidc|\d+|PLAIN|PLAINTEXT|SSL|SASL_\w+|SCRAM-SHA-\d+|OAUTHBEARER|GSSAPI")

# What looks like a secret, whoever's it is: a private key, the user of an address, a token of JSON, of a header. Each
# begins with what is rare and can be tried in few ways only: a trace is as long as somebody wants it.
_SCHEME = r"[Bb](?:earer|asic|EARER|ASIC)[ \t]+"
_SHAPES = [
    r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY[A-Z ]{0,10}-----(?:(?!-----END)[\w+/=\s\\:,-])*(?:-----END [A-Z ]*-----)?)",
    r"//([^\s/@\"'<>]+)@",
    r"(eyJ(?<![\w-]eyJ)[\w-]+\.[\w-]+\.[\w-]*)",
    # Not the next word, as in 'Basic authentication'.
    rf"{_SCHEME}(?=[^\s\d=]*[\d=])([\w.~+/=-]{{8,}})",
]
_SHAPED = [re.compile(shape) for shape in _SHAPES]
# ... and what is assigned to one of these names, in a setting, an address or JSON, also within JSON.
_NAMES = (
    *("password", "passwd", "pwd", "passphrase", "secret", "token", "credential", "credentials", "authorization"),
    *("userinfo", "sig", "signature"),
    *(
        f"{of}key"
        for of in ("api", "access", "account", "secret", "private", "shared", "encryption", "master", "signing")
    ),
)
_NO_LETTERS = str.maketrans("", "", " \t\"'\\-_.[]()")
_ASSIGNS = re.compile(r"[:=]>?|%3[Dd]")
_ASSIGNED = re.compile(
    rf"[ \t]{{0,4}}(?:{_SCHEME})?(\\+\"[^\"\n]*\"?|\"(?:\\.|[^\"\\\n])*\"?|'[^'\n]*'?|[^\s,;&}}\"']+)"
)


class CollectorError(RuntimeError):
    """Nothing could be collected. The text says why and what to do, without a secret."""


@dataclass
class Collected:
    """Rows of a landing table, and what could not be got: each problem says why and what to do, without a secret."""

    rows: Rows = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


# Settings and the rows of expected_topics in. Raises CollectorError where it gets nothing at all.
Collector = Callable[[Settings, Rows], Collected]


def redact(text: str, secrets: Iterable[str]) -> str:
    return redactor(secrets)(text)


def redactor(secrets: Iterable[str], most: int | None = None) -> Callable[[str], str]:
    """A function that puts *** for each of the secrets in a text, and for what looks like one.

    It looks up what the text has: many secrets take no longer than one. Of a text of more than `most` characters it
    gives so many, and says how many it does not.
    """
    hidden = {form for secret in secrets for form in _forms(secret)}
    sizes: dict[str, set[int]] = defaultdict(set)
    for form in hidden:
        sizes[form[:_LONG]].add(len(form))
    # One of these parts of each beginning is at a fourth place of the text: elsewhere nothing is looked up.
    parts = {head[at : at + 5] for head in sizes if len(head) == _LONG for at in range(4)}
    lines = {form[:_LINE] for form in hidden if len(form) > _LINE}
    shorts = {form for form in hidden if len(form) < _LONG}
    shortest = min(map(len, shorts), default=0)
    heads = {form[:shortest] for form in shorts}

    def known(text: str) -> Iterator[tuple[int, int]]:
        done = tried = 0
        places = (at for at in range(0, len(text), 4) if text[at : at + 5] in parts)
        for at in (at for place in places for at in range(max(0, place - 3), place + 1)):
            found = sorted(sizes.get(text[at : at + _LONG], ()), reverse=True)
            end = next((at + size for size in found if text[at : at + size] in hidden), 0)
            is_next = at >= done or (found and found[0] >= _PIECE and at >= tried + _PIECE // 5)
            if found and not end and is_next and re.sub(_GAP, "", text[at : at + 3 * _LINE])[:_LINE] in lines:
                # Somebody has broken it into lines.
                tried = at
                joined = re.sub(_GAP, "", text[at : at + 2 * found[0]])
                size = next((size for size in found if joined[:size] in hidden), 0)
                broken = re.compile(rf"(?:{_GAP}*.){{{size}}}", re.DOTALL).match(text, at) if size else None
                end = broken.end() if broken else 0
            if end:
                done = max(done, end)
                yield at, end
        # A short one, such as 'me', is part of too many words.
        for at in [start.start() for start in _STARTS.finditer(text)] if shorts else []:
            if text[at : at + shortest] in heads:
                ends = range(at + _LONG - 1, at + shortest - 1, -1)
                yield from ((at, end) for end in ends if text[at:end] in shorts and not _WORD.match(text, end))

    def redact(text: str) -> str:
        read, upto = (text, len(text)) if most is None else (text[: most + 2 * _PIECE], min(most, len(text)))
        kept, done = [], 0
        for at, end in sorted([*known(read), *_looks_secret(read)]):
            if at >= upto:
                break
            if at > done or not kept:
                kept += [text[done:at], "***"]
            done = max(done, end)
        kept.append(text[done:upto])
        return "".join(kept) + (f" ... and {len(text) - upto} more characters" if upto < len(text) else "")

    return redact


def _looks_secret(text: str) -> Iterator[tuple[int, int]]:
    for shape in _SHAPED:
        yield from (found.span(1) for found in shape.finditer(text))
    done = 0
    for sign in _ASSIGNS.finditer(text):
        at = sign.start()
        if at >= done and text[max(0, at - 30) : at].lower().translate(_NO_LETTERS).endswith(_NAMES):
            value = _ASSIGNED.match(text, sign.end())
            if value:
                done = value.end()
                yield value.span(1)


def _forms(secret: str) -> Iterator[str]:
    """A secret and its lines as they are, in an address, in JSON and in base64; in pieces, where it is very long."""
    for plain in {secret, *(line for line in secret.splitlines() if len(line) > _LONG)}:
        forms = [quote(plain, safe, errors="replace") for safe in ("", "/")] + [quote_plus(plain, errors="replace")]
        forms += [re.sub("%..", lambda found: found[0].lower(), form) for form in forms]
        forms += [json.dumps(plain, ensure_ascii=is_ascii)[1:-1] for is_ascii in (True, False)]
        if len(plain) >= _LONG:
            raw = plain.encode(errors="replace")
            forms += [code(raw).decode().rstrip("=") for code in (base64.b64encode, base64.urlsafe_b64encode)]
        for form in {plain, re.sub(_GAP, "", plain), *forms} - {""}:
            last = max(0, len(form) - _PIECE)
            count = -(-last // (_PIECE // 2))
            # They overlap: a line may end where one begins.
            for at in {*(last * n // count for n in range(count)), max(0, last - _LONG), last}:
                yield form[at:] if at >= last - _LONG else form[at : at + _PIECE]


def secrets_of(settings: Settings, every_kafka_setting: bool = False) -> set[str]:
    """The secrets that the project itself is given.

    librdkafka repeats a value that it does not understand, which may be the password in the wrong place: so whatever
    it says is searched for every value of KAFKA_CONFIG.
    """
    secrets = {value.get_secret_value() for _, value in settings if isinstance(value, SecretStr)}
    secrets |= {value for name, value in os.environ.items() if name in _OURS or name.startswith("DBT_ENV_SECRET_")}
    for name, value in (settings.kafka_config or {}).items():
        if every_kafka_setting or SECRET_NAME.search(name):
            secrets |= secret_values(value.get_secret_value())
    for user, password in (
        (settings.kafka_connect_user, settings.kafka_connect_password),
        (settings.confluent_cloud_api_key, settings.confluent_cloud_api_secret),
    ):
        if password:
            secrets.add(base64.b64encode(f"{user}:{password.get_secret_value()}".encode()).decode())
    return secrets


def secret_values(value: str) -> set[str]:
    """The value of a secret entry, and what is quoted in it, as in JAAS; nothing where it is a word of Kafka's own."""
    # The name of an entry in JSON is none.
    quoted = [text for text, is_name in re.findall(r'"([^"]+)"(\s*:)?', value) if not is_name]
    return {part for part in (value, *quoted) if not _WORDS.fullmatch(part)}
