"""Where credentials come from, what of them reaches Snowflake, and what is said of those that are of no use.

dbt's own adapter logs in, to a Snowflake on loopback; AWS Secrets Manager is moto's, on loopback too.
"""

import base64
import contextlib
import gzip
import http.server
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from dbt.adapters.snowflake import connections
from dbt.cli.main import dbtRunner
from moto.server import ThreadedMotoServer
from prefect.blocks.system import Secret
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.variables import Variable
from werkzeug.serving import WSGIRequestHandler

from orchestration.credentials import (
    KEY,
    KEY_PATH,
    PASSPHRASE,
    TOKEN,
    CredentialsError,
    fetch_snowflake_secret,
    with_kafka_secret,
)
from orchestration.outcomes import DbtError, RunInfo, run_as
from orchestration.runner import Dbt, _clean
from orchestration.settings import Settings
from tests.python.snowflake.emulator import connect, start
from tests.python.warehouse import PROJECT_DIR, T0

PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PHRASE = "correct horse"
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
_PLAIN, _LOCKED = serialization.NoEncryption(), serialization.BestAvailableEncryption(PHRASE.encode())


def private_key(lock: Any = _PLAIN, encoding: serialization.Encoding = PEM) -> str:
    """The key as its owner has it: PEM, or base64 of DER."""
    content = PRIVATE.private_bytes(encoding, serialization.PrivateFormat.PKCS8, lock)
    return content.decode() if encoding is PEM else base64.b64encode(content).decode()


@dataclass
class Door:
    """Stands before the emulator, which lets everybody in, and keeps what was said at the login."""

    emulator: int
    logins: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    refreshes: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        door = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/oauth/token-request":
                    door.refreshes.append((self.headers["Authorization"], body.decode()))
                    status, answer = 200, b'{"access_token": "fresh-token"}'
                else:
                    if self.path.startswith("/session/v1/login-request"):
                        door.paths.append(self.path)
                        zipped = self.headers.get("Content-Encoding") == "gzip"
                        door.logins.append(json.loads(gzip.decompress(body) if zipped else body)["data"])
                    status, answer = self.forward(body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def forward(self, body: bytes) -> tuple[int, bytes]:
                address = f"http://127.0.0.1:{door.emulator}{self.path}"
                headers = {name: value for name, value in self.headers.items() if name != "Accept-Encoding"}
                try:
                    with urllib.request.urlopen(urllib.request.Request(address, body, headers)) as answer:
                        return answer.status, answer.read()
                except urllib.error.HTTPError as error:
                    return error.code, error.read()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture(scope="module")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture(scope="module", autouse=True)
def starting(prefect_home: Path, _environment: None) -> Iterator[str]:
    """A Prefect API that starts while the first tests run; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = str(free.getsockname()[1])
    command = [sys.executable, "-W", "ignore", "-m", "prefect", "server", "start", "--no-services", "--port", number]
    with (prefect_home / "server.log").open("wb") as log:
        places = {"PREFECT_HOME": str(prefect_home), "TMPDIR": str(prefect_home)}
        places |= {"PREFECT_API_BLOCKS_REGISTER_ON_START": "false"}  # three seconds
        server = subprocess.Popen(command, env=os.environ | places, stdout=log, stderr=log)
    yield f"http://127.0.0.1:{number}/api"
    server.terminate()
    server.wait()


@pytest.fixture(scope="module")
def prefect(starting: str) -> Iterator[str]:
    for _ in range(600):
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{starting}/ready").is_success:
                break
        time.sleep(0.2)
    with temporary_settings({PREFECT_API_URL: starting}):
        yield starting


@pytest.fixture(scope="module")
def emulator(starting: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    server, port = start(tmp_path_factory.mktemp("snowflake"))
    yield port
    server.kill()


@pytest.fixture
def door(emulator: int) -> Iterator[Door]:
    door = Door(emulator)
    yield door
    door.server.shutdown()
    door.server.server_close()


@pytest.fixture
def profile(tmp_path: Path) -> Iterator[Path]:
    """The example profile on target snowflake, and an environment that is as it was when the test is over."""
    file = tmp_path / "profiles.yml"
    file.write_text((PROJECT_DIR / "profiles.example.yml").read_text())
    before = dict(os.environ)
    os.environ.update(_places(tmp_path))
    yield file
    os.environ.clear()
    os.environ.update(before)


def _places(directory: Path) -> dict[str, str]:
    """An account, nothing of the developer's own, and whatever is written, under `directory`."""
    places = {"SNOWFLAKE_ACCOUNT": "acme-eu", "SNOWFLAKE_USER": "svc", "SNOWFLAKE_DATABASE": "STREAMING_OPS"}
    places |= {"DBT_TARGET": "snowflake", "DBT_PROFILES_DIR": str(directory)}
    places |= {"DBT_TARGET_PATH": str(directory / "target"), "DBT_LOG_PATH": str(directory / "logs")}
    places |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "none", "AWS_SHARED_CREDENTIALS_FILE": "none"}
    return places


def _stands_at(profile: Path, port: int, **changes: str) -> None:
    """All that differs from production: where Snowflake is. `changes` are other lines of its output."""
    text = profile.read_text()
    for name, value in changes.items():
        text, found = re.subn(rf"(?m)^      {name}: .*$", f'      {name}: "{value}"', text)
        assert found == 1, name
    profile.write_text(f"{text.rstrip()}\n      host: 127.0.0.1\n      port: {port}\n      protocol: http\n")


def _log_in(profile: Path, door: Door) -> dict[str, Any]:
    """What dbt's adapter says at the login, in the environment that the runner makes ready."""
    _stands_at(profile, door.server.server_port)
    Dbt()
    _debug(str(profile.parent))
    return door.logins[-1]


def _debug(directory: str) -> None:
    where = ["--project-dir", str(PROJECT_DIR), "--profiles-dir", directory]
    assert dbtRunner().invoke(["--quiet", "debug", "--connection", *where]).success


def _signed(login: dict[str, Any]) -> dict[str, Any]:
    """The claims of the token, if it was signed with the key."""
    assert login["AUTHENTICATOR"] == "SNOWFLAKE_JWT"
    return jwt.decode(login["TOKEN"], PRIVATE.public_key(), algorithms=["RS256"])


@pytest.mark.parametrize(
    ("content", "passphrase"),
    [
        (private_key(), ""),
        (private_key().replace("\n", "\\n"), ""),
        (private_key(encoding=DER), ""),
        (private_key(_LOCKED), PHRASE),
        (private_key(_LOCKED).replace("\n", "\\n"), PHRASE),
        (private_key(_LOCKED, DER), PHRASE),
    ],
    ids=["PEM", "PEM on one line", "DER", "encrypted PEM", "encrypted PEM on one line", "encrypted DER"],
)
def test_a_key_given_as_content_signs_the_login(profile: Path, door: Door, content: str, passphrase: str) -> None:
    os.environ.update({KEY: content, PASSPHRASE: passphrase})
    assert _signed(_log_in(profile, door))["sub"] == "ACME-EU.SVC"


@pytest.mark.parametrize("lock", [_PLAIN, _LOCKED], ids=["open", "encrypted"])
def test_a_key_given_as_a_path_signs_the_login(profile: Path, door: Door, lock: Any) -> None:
    (profile.parent / "key.p8").write_text(private_key(lock))
    os.environ.update({KEY_PATH: str(profile.parent / "key.p8"), PASSPHRASE: PHRASE if lock is _LOCKED else ""})
    assert _signed(_log_in(profile, door))["sub"] == "ACME-EU.SVC"


def test_statements_tell_their_flow_run_and_call_of_dbt(profile: Path, door: Door) -> None:
    os.environ.update({KEY: private_key()})
    _stands_at(profile, door.server.server_port)
    dbt = Dbt()
    with run_as(RunInfo(flow_run="11111111-2222-3333-4444-555555555555")):
        for _ in range(2):
            dbt.query("select 1 as a", "2026-03-02T12:00:00Z")
    tags = [json.loads(login["SESSION_PARAMETERS"]["QUERY_TAG"]) for login in door.logins]
    assert {tag["flow_run"] for tag in tags} == {"11111111-2222-3333-4444-555555555555"}
    assert {tag["app"] for tag in tags} == {"streaming_ops"}
    assert len({tag["dbt_invocation"] for tag in tags}) == 2


def test_a_token_of_oauth_is_sent_even_where_a_key_is_set(profile: Path, door: Door) -> None:
    os.environ.update({"SNOWFLAKE_AUTHENTICATOR": "oauth", TOKEN: "the-token", KEY: private_key()})
    login = _log_in(profile, door)
    assert (login["AUTHENTICATOR"], login["TOKEN"]) == ("OAUTH", "the-token")


def test_a_token_that_is_set_does_not_choose_oauth(profile: Path, door: Door) -> None:
    os.environ.update({TOKEN: "the-token", KEY: private_key(), "SNOWFLAKE_OAUTH_CLIENT_ID": "me"})
    assert _signed(_log_in(profile, door))


def test_with_a_client_the_token_is_one_that_refreshes(
    profile: Path, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"http://127.0.0.1:{door.server.server_port}/oauth/token-request"
    monkeypatch.setattr(connections, "_TOKEN_REQUEST_URL", address)
    os.environ.update({"SNOWFLAKE_AUTHENTICATOR": "oauth", TOKEN: "refresh-me", "SNOWFLAKE_OAUTH_CLIENT_ID": "me"})
    os.environ["DBT_ENV_SECRET_SNOWFLAKE_OAUTH_CLIENT_SECRET"] = "hush"
    assert _log_in(profile, door)["TOKEN"] == "fresh-token"
    authorization, body = door.refreshes[-1]
    assert authorization == f"Basic {base64.b64encode(b'me:hush').decode()}"
    assert "refresh_token=refresh-me" in body


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, f"One of {KEY_PATH} and {KEY} has to be set"),
        ({KEY: private_key(), KEY_PATH: "key.p8"}, f"Only one of {KEY_PATH} and {KEY}"),
        ({KEY_PATH: "/nowhere/key.p8"}, rf"{KEY_PATH} \(/nowhere/key.p8\) cannot be read: No such file"),
        ({KEY_PATH: str(PROJECT_DIR / "README.md")}, rf"{KEY_PATH} .*README.md\) is no private key"),
        ({KEY: "s3cr3t-junk"}, f"{KEY} is no private key"),
        ({KEY: private_key()[:900]}, f"{KEY} is no private key"),
        ({KEY: private_key(_LOCKED), PASSPHRASE: "wr0ng"}, f"{KEY} is encrypted with another .* that of {PASSPHRASE}"),
        ({KEY: private_key(_LOCKED)}, f"{KEY} is encrypted: set {PASSPHRASE}"),
        ({KEY: private_key(), PASSPHRASE: PHRASE}, f"{KEY} is not encrypted: {PASSPHRASE}"),
        ({"SNOWFLAKE_AUTHENTICATOR": "oauth"}, f"{TOKEN} is not set"),
    ],
)
def test_a_key_that_is_of_no_use_is_one_line_that_names_the_variable(
    profile: Path, given: dict[str, str], expected: str
) -> None:
    os.environ.update(given)
    with pytest.raises(DbtError, match=expected) as error:
        Dbt()
    _tells_nothing(error.value, *(value for name, value in given.items() if name != KEY_PATH and value != "oauth"))


def test_a_passphrase_from_elsewhere_is_not_missed(profile: Path) -> None:
    profile.write_text(profile.read_text().replace(PASSPHRASE, "DBT_ENV_SECRET_OF_MY_OWN"))
    os.environ[KEY] = private_key(_LOCKED)
    Dbt()


def _tells_nothing(error: BaseException, *secrets: str) -> None:
    assert "\n" not in str(error)
    assert error.__suppress_context__ or not error.__context__
    for secret in secrets:
        # Nor a part of it: a line of a key is 64 characters.
        assert not [secret[at : at + 12] for at in range(0, len(secret) - 11, 4) if secret[at : at + 12] in str(error)]
        assert secret not in str(error)


def test_blocks_and_variables_of_prefect_are_filled_into_the_profile(
    profile: Path, door: Door, prefect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Secret(value="t0ken-of-a-block").save("snowflake-token", overwrite=True)
    Variable.set("snowflake_role", "OBSERVER", overwrite=True)
    token, role = "{{ prefect.blocks.secret.snowflake-token }}", "{{ prefect.variables.snowflake_role }}"
    _stands_at(profile, door.server.server_port, token=token, role=role)
    (profile.parent / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(profile.parent / "tmp"))
    os.environ["SNOWFLAKE_AUTHENTICATOR"] = "oauth"
    with Dbt()._profiles_dir() as directory:
        _debug(directory)
        # The value is in the environment only, where it is one of the secrets that dbt takes out of its logs.
        assert Path(directory).stat().st_mode & 0o077 == 0
        assert "t0ken" not in (Path(directory) / "profiles.yml").read_text()
        assert _clean("no t0ken-of-a-block here") == "no ***** here"
    assert list((profile.parent / "tmp").iterdir()) == []
    assert (door.logins[-1]["AUTHENTICATOR"], door.logins[-1]["TOKEN"]) == ("OAUTH", "t0ken-of-a-block")
    assert "roleName=OBSERVER" in door.paths[-1]


def test_a_block_that_is_not_there_is_one_line_that_names_it(profile: Path, prefect: str) -> None:
    _stands_at(profile, 9, token="{{ prefect.blocks.secret.no-such-token }}")
    os.environ["SNOWFLAKE_AUTHENTICATOR"] = "oauth"
    with pytest.raises(DbtError, match=r"profiles\.yml: Block not found: 'no-such-token' of type 'secret'") as error:
        Dbt().query("select 1 as one", T0)
    _tells_nothing(error.value)


@pytest.mark.parametrize(
    ("block", "address", "expected"),
    [
        ("secret", "", "Expected format: prefect.blocks.<block-type-slug>"),
        ("secret.x", "http://127.0.0.1:9/api", "cannot be read: .*connect"),
    ],
)
def test_blocks_that_cannot_be_read_are_one_line(
    profile: Path, prefect: str, block: str, address: str, expected: str
) -> None:
    _stands_at(profile, 9, token=f"{{{{ prefect.blocks.{block} }}}}")
    os.environ["SNOWFLAKE_AUTHENTICATOR"] = "oauth"
    with temporary_settings({PREFECT_API_URL: address or prefect}), pytest.raises(DbtError, match=expected) as error:
        Dbt().query("select 1 as one", T0)
    _tells_nothing(error.value)


SNOWFLAKE_SECRET = {"account": "other", "user": "kafka", "private_key": private_key(_LOCKED)}
SNOWFLAKE_SECRET |= {"private_key_passphrase": PHRASE, "role": "OBSERVER"}
KAFKA_SECRET = {"bootstrap_servers": "broker:9092", "api_key": "the-key", "api_secret": "the-api-secret"}


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WSGIRequestHandler, "log", lambda *_: None)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


@pytest.fixture
def aws(moto: str, profile: Path) -> Callable[..., None]:
    """Puts secrets into AWS, and points the environment at it."""
    os.environ.update({"AWS_ENDPOINT_URL": moto, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "a"})
    os.environ.update({"AWS_SECRET_ACCESS_KEY": "b"})
    for name in ("SNOWFLAKE_ACCOUNT", "SNOWFLAKE_USER"):
        del os.environ[name]
    urllib.request.urlopen(urllib.request.Request(f"{moto}/moto-api/reset", b""))

    def put(variable: str, name: str, content: Any) -> None:
        text = content if isinstance(content, str) else json.dumps(content)
        boto3.Session().client("secretsmanager", region_name="eu-central-1").create_secret(Name=name, SecretString=text)
        os.environ[variable] = name

    return put


def _fetch_secrets() -> Settings:
    fetch_snowflake_secret(Settings())
    return with_kafka_secret(Settings())


def test_secrets_of_aws_log_in_and_configure_the_collector(aws: Any, profile: Path, door: Door) -> None:
    aws("SNOWFLAKE_SECRET_ID", "snowflake/svc-kafka-connector", SNOWFLAKE_SECRET)
    aws("KAFKA_SECRET_ID", "confluent/kafka-cluster", KAFKA_SECRET)
    assert _signed(_log_in(profile, door))["sub"] == "OTHER.KAFKA"
    assert "roleName=OBSERVER" in door.paths[-1]
    settings = with_kafka_secret(Settings())
    assert settings.kafka_bootstrap_servers == "broker:9092"
    # What other processes inherit has not got it.
    assert "the-api-secret" not in str(os.environ)
    assert {name: value.get_secret_value() for name, value in (settings.kafka_config or {}).items()} == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanisms": "PLAIN",
        "sasl.username": "the-key",
        "sasl.password": "the-api-secret",
    }


def test_what_is_set_wins_over_aws(aws: Any, profile: Path) -> None:
    aws("SNOWFLAKE_SECRET_ID", "s", {"account": "other", "user": "kafka"} | SNOWFLAKE_SECRET)
    aws("KAFKA_SECRET_ID", "k", KAFKA_SECRET)
    os.environ.update({"SNOWFLAKE_USER": "me", KEY_PATH: "my.p8", "KAFKA_BOOTSTRAP_SERVERS": "mine:1"})
    os.environ["KAFKA_CONFIG"] = '{"sasl.username": "me", "ssl.ca.location": "ca.pem"}'
    settings = _fetch_secrets()
    assert (os.environ["SNOWFLAKE_ACCOUNT"], os.environ["SNOWFLAKE_USER"]) == ("other", "me")
    # A passphrase is for the key that it came with.
    assert not {KEY, PASSPHRASE} & os.environ.keys()
    assert settings.kafka_bootstrap_servers == "mine:1"
    config = {name: value.get_secret_value() for name, value in (settings.kafka_config or {}).items()}
    assert (config["sasl.username"], config["sasl.password"]) == ("me", "the-api-secret")
    assert config["ssl.ca.location"] == "ca.pem"


def test_what_is_set_need_not_be_in_the_secret(aws: Any) -> None:
    aws("SNOWFLAKE_SECRET_ID", "s", {"private_key": private_key()})
    os.environ.update({"SNOWFLAKE_ACCOUNT": "mine", "SNOWFLAKE_USER": "me"})
    _fetch_secrets()
    assert os.environ[KEY] == private_key()


def test_aws_is_called_only_for_what_is_configured(aws: Any) -> None:
    os.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    _fetch_secrets()
    os.environ.update({"SNOWFLAKE_SECRET_ID": "s", "DBT_TARGET": "local"})
    _fetch_secrets()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, r"ResourceNotFoundException: create it, or correct SNOWFLAKE_SECRET_ID or AWS_REGION"),
        ("{'user': 's3cr3t-thing'}", "is not a JSON object: give it the keys that SNOWFLAKE_SECRET_ID"),
        ('["s3cr3t-thing"]', "is not a JSON object"),
        ({"user": "s3cr3t-thing", "private_key": ""}, "lacks account, private_key"),
        ({"user": "s3cr3t-thing", "account": 7, "private_key": {"s3cr3t-thing": 1}}, "lacks account, private_key"),
    ],
)
def test_a_secret_of_no_use_is_one_line_that_names_it(aws: Any, content: Any, expected: str) -> None:
    os.environ["SNOWFLAKE_SECRET_ID"] = "the/secret"
    if content is not None:
        aws("SNOWFLAKE_SECRET_ID", "the/secret", content)
    with pytest.raises(DbtError, match=rf"AWS secret the/secret \(eu-central-1\).*({expected})") as error:
        Dbt()
    _tells_nothing(error.value, "s3cr3t-thing")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, r"\(eu-central-1\): EndpointConnectionError: check the network"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, r"\(eu-central-1\): NoCredentialsError: set AWS_"),
        ({"AWS_REGION": ""}, "NoRegionError: set AWS_REGION"),
    ],
)
def test_an_aws_that_cannot_be_asked_is_one_line(aws: Any, change: dict[str, str], expected: str) -> None:
    os.environ.update({"KAFKA_SECRET_ID": "the/secret"} | change)
    with pytest.raises(CredentialsError, match=f"AWS secret the/secret.*{expected}") as error:
        _fetch_secrets()
    _tells_nothing(error.value)


@pytest.mark.parametrize("code", ["AccessDeniedException", "InvalidSignatureException"])
def test_a_refusal_of_aws_is_one_line_without_what_aws_says(aws: Any, code: str) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(400)
            self.end_headers()
            said = "the canonical string should have been\nx-amz-security-token:s3cr3t-token"
            self.wfile.write(json.dumps({"__type": code, "message": said}).encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        os.environ.update({"KAFKA_SECRET_ID": "k", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"})
        with pytest.raises(CredentialsError, match=rf"AWS secret k \(eu-central-1\): {code}: ") as error:
            _fetch_secrets()
        server.shutdown()
    _tells_nothing(error.value, "s3cr3t-token")


def test_a_secret_in_the_place_of_its_name_is_refused_and_hidden(aws: Any) -> None:
    os.environ["SNOWFLAKE_SECRET_ID"] = json.dumps(SNOWFLAKE_SECRET)
    with pytest.raises(DbtError, match="SNOWFLAKE_SECRET_ID cannot be used") as error:
        Dbt()
    assert "PRIVATE" not in str(error.value)


def test_all_that_is_missing_is_listed_together(profile: Path) -> None:
    for name in ("SNOWFLAKE_ACCOUNT", "SNOWFLAKE_USER", "SNOWFLAKE_DATABASE"):
        del os.environ[name]
    with pytest.raises(DbtError) as error:
        Dbt()
    assert str(error.value) == (
        "SNOWFLAKE_ACCOUNT, SNOWFLAKE_USER and SNOWFLAKE_DATABASE are not set: the target snowflake of profiles.yml "
        f"needs them. One of {KEY_PATH} and {KEY} has to be set."
    )


def test_of_the_secret_and_the_environment_the_rest_is_missing(aws: Any, profile: Path) -> None:
    aws("SNOWFLAKE_SECRET_ID", "s", {"account": "a", "user": "u", "private_key": private_key()})
    del os.environ["SNOWFLAKE_DATABASE"]
    with pytest.raises(DbtError, match=r"^SNOWFLAKE_DATABASE is not set: the target [^,]* needs it\.$"):
        Dbt()


# None of these may be in anything that a run leaves behind; + and / show where one is there in disguise.
HIDDEN = {
    "key": private_key(serialization.BestAvailableEncryption(b"phr4se+of/the=key")),
    "passphrase": "phr4se+of/the=key",
    "token": "0auth+t0ken/of=me",
    "webhook": "T0SL4CK/B0SL4CK/sl4ck+p4th=",
    "api_secret": "c0nfluent+s3cret/of=mine",
    "connect": "c0nnect+p4ssword/of=mine",
    "aws": "4ws+s3cret/4ccess=key",
    "cloud": "cl0ud+s3cret/of=mine",
}


def _disguises(secret: str) -> set[bytes]:
    """As itself, in an address, as JSON, and in base64, where it looks different at each of three places."""
    quoted = {urllib.parse.quote(secret), urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret)}
    texts = {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], json.dumps(json.dumps(secret))[3:-3]} | quoted
    shifted = [base64.b64encode(b" " * shift + secret.encode()).rstrip(b"=") for shift in range(3)]
    return {text.encode() for text in texts} | {code[4 * bool(shift) : -1] for shift, code in enumerate(shifted)}


def _found(directory: Path, said: str) -> set[str]:
    """The names of the secrets in any file under `directory`, in any row of a database, or in what was said."""
    texts = [said.encode()] + [file.read_bytes() for file in directory.rglob("*") if file.is_file()]
    for file in directory.rglob("*.db"):
        with contextlib.closing(sqlite3.connect(file)) as database:
            tables = database.execute("select name from sqlite_master where type = 'table'").fetchall()
            texts += [repr(database.execute(f'select * from "{table}"').fetchall()).encode() for (table,) in tables]
    # Of the key, one line is enough.
    parts = {name: [secret, *secret.splitlines()[1:-2]] for name, secret in HIDDEN.items()}
    needles = {name: set().union(*map(_disguises, secrets)) for name, secrets in parts.items()}
    return {name for name, disguises in needles.items() if any(d in text for d in disguises for text in texts)}


def test_the_search_finds_a_secret_in_each_disguise(tmp_path: Path) -> None:
    for name, secret in HIDDEN.items():
        for shift in range(4):
            leaks = [secret, secret.replace("\n", "\\n"), urllib.parse.quote(secret, safe=""), repr([secret])]
            leaks += [
                base64.b64encode(b"user:"[shift:] + secret.encode()).decode(),
                secret.splitlines()[len(secret) > 99],
            ]
            for leak in leaks:
                (tmp_path / "log").write_text(f"error: {leak!s} is wrong")
                assert _found(tmp_path, "") == {name}, leak
    (tmp_path / "log").unlink()
    assert _found(tmp_path, f"said {HIDDEN['token']}") == {"token"}
    with contextlib.closing(sqlite3.connect(tmp_path / "x.db")) as database:
        database.execute("create table t as select ? || ? as x", ["x" * 5000, HIDDEN["token"]])
        database.commit()
    assert _found(tmp_path, "") == {"token"}


@pytest.fixture
def refuser() -> Iterator[str]:
    """A Slack that refuses and repeats its address, and a Kafka Connect that repeats what it refuses."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(403)
            self.end_headers()
            self.wfile.write(f"no {self.path}".encode())

        def do_GET(self) -> None:
            self.send_response(401)
            self.end_headers()
            self.wfile.write(json.dumps({"message": f"not {self.headers['Authorization']}"}).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def _run(directory: Path, command: str, port: int, environment: dict[str, str], **changes: str) -> Any:
    """Starts a command of the command line that keeps all it writes in `directory`."""
    (directory / "tmp").mkdir(parents=True)
    profile = directory / "profiles.yml"
    profile.write_text((PROJECT_DIR / "profiles.example.yml").read_text())
    _stands_at(profile, port, **changes)
    places = _places(directory) | {"PREFECT_HOME": str(directory / "prefect"), "TMPDIR": str(directory / "tmp")}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "orchestration", "-v", command],
        cwd=PROJECT_DIR,
        env=os.environ | places | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_runs_that_fail_leave_no_secret_behind(
    tmp_path: Path,
    prefect: str,
    prefect_home: Path,
    aws: Any,
    emulator: int,
    refuser: str,
) -> None:
    """A tick with broken SQL, a wrong Kafka setting and a Connect that refuses; a check; a wrong passphrase; a closed
    port.
    """
    os.environ["AWS_SECRET_ACCESS_KEY"] = HIDDEN["aws"]
    aws("SNOWFLAKE_SECRET_ID", "s", {"account": "acme", "user": "svc", "private_key": HIDDEN["key"]})
    cluster = {"bootstrap_servers": "127.0.0.1:9", "api_key": "me", "api_secret": HIDDEN["api_secret"]}
    aws("KAFKA_SECRET_ID", "k", cluster)
    Secret(value=HIDDEN["passphrase"]).save("snowflake-passphrase", overwrite=True)
    block = "{{ prefect.blocks.secret.snowflake-passphrase }}"
    with connect(emulator) as connection:
        for table in ("ANALYTICS.FCT_ORDERS", "MONITORING.STREAMING_METRICS"):
            connection.cursor().execute(f"create schema if not exists STREAMING_OPS.{table.split('.')[0]}")
            connection.cursor().execute(f"create or replace table STREAMING_OPS.{table} (x int)")
    everywhere = {"PREFECT_API_URL": prefect, "KAFKA_CONFIG": json.dumps({"sasl.mechanisms": HIDDEN["api_secret"]})}
    everywhere |= {"KAFKA_CONNECT_URL": refuser, "KAFKA_CONNECT_USER": "me"}
    everywhere |= {"KAFKA_CONNECT_PASSWORD": HIDDEN["connect"]}
    metrics = {"CONFLUENT_CLUSTER_ID": "lkc-1", "CONFLUENT_CLOUD_API_KEY": "me", "CONFLUENT_METRICS_URL": refuser}
    everywhere |= metrics | {"CONFLUENT_CLOUD_API_SECRET": HIDDEN["cloud"]}
    wrong = {KEY: HIDDEN["key"].replace("\n", "\\n"), PASSPHRASE: HIDDEN["token"]}
    oauth = {"SNOWFLAKE_AUTHENTICATOR": "oauth", TOKEN: HIDDEN["token"]}
    oauth |= {"SLACK_WEBHOOK_URL": f"{refuser}/services/{HIDDEN['webhook']}"}
    cloud = {name: value for name, value in everywhere.items() if name != "KAFKA_CONFIG"} | {"KAFKA_SECRET_ID": ""}
    runs = {
        "evaluation_marks": _run(tmp_path / "sql", "tick", emulator, everywhere, private_key_passphrase=block),
        "what works, or what to fix": _run(tmp_path / "check", "check", emulator, cloud | wrong),
        "encrypted with another passphrase": _run(tmp_path / "wrong", "transform", emulator, everywhere | wrong),
        "Slack refused the message: HTTP 403": _run(tmp_path / "closed", "transform", 9, everywhere | oauth),
    }
    said = {expected: run.communicate(timeout=300)[0] for expected, run in runs.items()}
    for expected, run in runs.items():
        assert run.returncode == 1
        assert expected in said[expected]
    assert "MetricsViewer" in said["what works, or what to fix"]
    for expected in ("Unsupported SASL mechanism", "401 Unauthorized"):
        assert expected in said["evaluation_marks"]
    for directory in (tmp_path, prefect_home):
        assert _found(directory, "".join(said.values())) == set()
    with contextlib.closing(sqlite3.connect(prefect_home / "prefect.db")) as database:
        assert database.execute("select count(*) from log where message like '%evaluation_marks%'").fetchone()[0] >= 1
