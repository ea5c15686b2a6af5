"""What every collector takes and gives, and how a secret is kept out of what it tells."""

import base64
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from orchestration.settings import Settings

Rows = list[dict[str, Any]]
_LONG = 8
SECONDS = 45  # a collection ends by then, whatever hangs

SECRET_NAME = re.compile(r"password|secret|key|token|passphrase|credential|jaas|user\.info", re.IGNORECASE)
_OURS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PREFECT_API_KEY")
# Settings of librdkafka that are words of Kafka's own: an error is easier to read with them.
_WORDS = re.compile(r"|none|true|false|default|oidc|\d+|PLAIN|PLAINTEXT|SSL|SASL_\w+|SCRAM-SHA-\d+|OAUTHBEARER|GSSAPI")
_ASSIGNED = re.compile(r"(?i)\b(password|passphrase|secret|token)=(\"[^\"]*\"|'[^']*'|[^\s,;&}\"']+)")


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
    """`text` with *** for every secret, also for one in an address, and for a line of one that has several."""
    plain = {s for secret in secrets for s in (secret, *(li for li in secret.splitlines() if len(li) > _LONG)) if s}
    for hidden in sorted(plain | {quote(secret, safe="") for secret in plain}, key=len, reverse=True):
        found = re.escape(hidden)
        # A short one, such as 'me', is part of too many words.
        text = re.sub(found if len(hidden) >= _LONG else rf"(?<!\w){found}(?!\w)", "***", text)
    return _ASSIGNED.sub(r"\1=***", text)


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
    return {part for part in (value, *re.findall(r'"([^"]+)"', value)) if not _WORDS.fullmatch(part)}
