"""What can be set from outside: the environment, or a `.env` file in the project's root.

A wrong value is a problem of its setting alone: the setting takes its default, and `Settings().problems` says so.
"""

import json
import logging
import os
import re
import stat
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Annotated, Any

import yaml
from dotenv.main import resolve_variables
from dotenv.parser import parse_stream
from pydantic import Field, HttpUrl, PrivateAttr, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_FIRST_YEAR, _LAST_YEAR = 1971, 9998
_MOST_MINUTES = 10_080  # a week
AWS_NAME = r"^[A-Za-z0-9/_+=.@:-]+$"
PROJECT_DIR = Path(__file__).resolve().parent.parent
NO_LOG = "(no log could be written)"
# The profile and other tools read more variables than Settings has.
_FREE = ("SNOWFLAKE_", "DBT_", "PREFECT_", "AWS_")


def is_snowflake() -> bool:
    return os.environ.get("DBT_TARGET") == "snowflake"


@dataclass(frozen=True)
class SettingProblem:
    """A setting that cannot be used, without its value where that is a secret or may hold one."""

    variable: str
    source: str  # such as `.env line 3`
    text: str  # what is right, and what is done instead
    value: str | None = None
    blocks_warehouse: bool = False  # a default would be another warehouse, so nothing may use one

    def __str__(self) -> str:
        given = f"is {self.value!r}" if self.value is not None else "cannot be used"
        return f"{self.variable} {given} ({self.source}): {self.text}"


class DotEnv:
    """The `.env` file: puts what it says into the environment, where nothing is set; keeps the line of each name."""

    def __init__(self, file: Path) -> None:
        self.problems: list[SettingProblem] = []
        self._lines: dict[str, tuple[int, bytes]] = {}
        # Bytes of another encoding become surrogates, which are found again below.
        bindings = list(parse_stream(StringIO(self._read(file).decode("utf-8", "surrogateescape"))))
        given = [(binding.key, binding.value) for binding in bindings if binding.key and binding.value is not None]
        values = resolve_variables(given, override=False)
        for binding in bindings:
            # A binding begins with the blank lines before it.
            said = binding.original.string
            line = binding.original.line + len(re.findall(r"\r\n|\n|\r", said[: len(said) - len(said.lstrip())]))
            value = values.get(binding.key or "")
            is_blank = binding.key is None and not binding.error  # or a comment
            if not is_blank and (binding.value is None or re.search(r"[^\w.-]", binding.key or "", re.ASCII)):
                self._note(f"line {line}", "write NAME=value, and close every quote; the line is not used.")
            elif value is not None and re.search("[\ud800-\udfff]", f"{binding.key}{value}"):
                self._note(f"line {line}", "it is not UTF-8: save the file as UTF-8; the line is not used.")
            elif binding.key and value is not None:
                self._lines[binding.key] = line, value.encode()
        for name, (_, raw) in self._lines.items():
            # As bytes: the locale may have no such letter.
            os.environb.setdefault(name.encode(), raw)

    def source(self, variable: str) -> str:
        """Where the variable's value comes from."""
        line, raw = self._lines.get(variable, (0, b""))
        return f".env line {line}" if line and os.environb.get(variable.encode()) == raw else "the environment"

    def misspelt(self, known: Iterable[str]) -> list[SettingProblem]:
        """The names that nothing reads, but that are almost one of `known`."""
        names, problems = {name.upper() for name in known}, []
        for name, (line, _) in self._lines.items():
            if name.upper() not in names and not name.startswith(_FREE):
                for meant in get_close_matches(name.upper(), names, 1, 0.9):
                    text = f"nothing reads it; did you mean {meant}?"
                    problems.append(SettingProblem(name, f".env line {line}", text))
        return problems

    def _read(self, file: Path) -> bytes:
        try:
            content = file.read_bytes()
            if content[:2] in (b"\xff\xfe", b"\xfe\xff"):  # as Notepad saves it, "Unicode"
                content = content.decode("utf-16").encode()
            if b"\0" not in content:
                return content
            self._note("the whole file", "it is not UTF-8: save the file as UTF-8; nothing of it is used.")
        except FileNotFoundError:
            return b""
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is cut off"
            self._note("the whole file", f"{why}; nothing of it is used.")
        return b""

    def _note(self, where: str, text: str) -> None:
        self.problems.append(SettingProblem(".env", where, text))


# The profile reads the environment too: so .env goes there, and not only into Settings.
DOT_ENV = DotEnv(PROJECT_DIR / ".env")
# Prefect's settings read the file too, hundreds of times, with a warning for each line that is reported here.
logging.getLogger("dotenv.main").setLevel(logging.ERROR)
# None of the tools calls home. Whoever wants that says so in the environment.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
# What is logged outside a flow run is only on the console.
os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
_DAY = timedelta(days=1)


class Settings(BaseSettings):
    """Every field is an environment variable. A wrong value raises nothing: it is one of `problems`."""

    model_config = SettingsConfigDict(env_ignore_empty=True, hide_input_in_errors=True)
    _problems: list[SettingProblem] = PrivateAttr(default_factory=list)

    slack_webhook_url: SecretStr | None = Field(None, description="Slack incoming webhook.")
    slack_bot_token: SecretStr | None = Field(
        None, description="Token of a Slack app (xoxb-...), instead of the webhook: a thread for each episode."
    )
    slack_channel: str | None = Field(None, description="Where it posts, unless an alert says another channel.")
    slack_api_url: HttpUrl = Field(HttpUrl("https://slack.com/api/"), description="Where Slack's Web API is.")
    pagerduty_routing_key: SecretStr | None = Field(None, description="Key of an Events API v2 integration.")
    pagerduty_url: HttpUrl = Field(
        HttpUrl("https://events.pagerduty.com"), description="Where that API is; the EU has another."
    )
    alert_webhook_url: SecretStr | None = Field(None, description="Takes every notification as JSON.")
    alert_webhook_token: SecretStr | None = Field(None, description="Sent to it as a Bearer token.")
    prefect_notification_block: str | None = Field(
        None, pattern=r"^[\w-]+/[\w-]+$", description="A block of Prefect's that notifies, such as sendgrid-email/ops."
    )
    heartbeat_url: SecretStr | None = Field(None, description="Asked for after every tick: a dead man's switch.")
    streaming_ops_wait_minutes: float = Field(
        10, ge=0, le=_MOST_MINUTES, description="How long a command by hand waits for another run to end."
    )
    streaming_ops_hang_minutes: float = Field(
        20,
        gt=0,
        le=_MOST_MINUTES,
        description="A run whose current step shows no progress for so long is killed and reported.",
    )
    streaming_ops_min_events: int = Field(1, ge=1, description="The transform runs from this many pending records on.")
    streaming_ops_docs_url: HttpUrl | None = Field(
        None, description="Where the docs site is published; alerts link to it."
    )
    streaming_ops_runbook_url: HttpUrl | None = Field(
        None, description="Where README.md and what else alerts name as runbook is; they link to it."
    )
    streaming_ops_duckdb_path: Path = Field(PROJECT_DIR / "warehouse.duckdb", description="File of the `local` target.")

    streaming_ops_schema_prefix: str = Field("", pattern=r"^\w*$", description="A sandbox: put before the schemas.")
    kafka_bootstrap_servers: str | None = Field(None, description="Brokers to read offsets from. None: not collected.")
    kafka_config: Annotated[dict[str, SecretStr] | None, NoDecode] = Field(
        {}, description="More librdkafka settings as JSON (sasl.password, ...). None: it is no JSON object."
    )
    confluent_cluster_id: str | None = Field(
        None,
        description="Confluent Cloud cluster (lkc-...) whose lag the Metrics API tells, where there are no brokers.",
    )
    confluent_cloud_api_key: str | None = Field(None, description="Cloud API key for it, with role MetricsViewer.")
    confluent_cloud_api_secret: SecretStr | None = Field(None, description="Its secret.")
    # Plain text: the collector itself reports what is wrong with its settings.
    confluent_metrics_url: str = Field("https://api.telemetry.confluent.cloud", description="Where the Metrics API is.")
    kafka_connect_url: str | None = Field(None, description="Kafka Connect's REST address. None: not collected.")
    kafka_connect_user: str | None = Field(None, description="User of the REST API, if it wants one.")
    kafka_connect_password: SecretStr | None = Field(None, description="Its password.")
    # As a name or an ARN; the pattern is no JSON and no PEM, for errors tell it.
    snowflake_secret_id: str | None = Field(None, pattern=AWS_NAME, description="AWS secret of the Snowflake user.")
    kafka_secret_id: str | None = Field(None, description="AWS secret of the Kafka cluster.")
    aws_region: str | None = Field(None, description="Region of these. None: what the AWS configuration says.")

    @field_validator("kafka_config", mode="before")
    @classmethod
    def _reads_json(cls, given: Any) -> dict[str, Any] | None:
        """What cannot be read is told by the collector that needs it, too."""
        try:
            config = json.loads(given) if isinstance(given, str) else given
            # librdkafka takes text only: 10000 is "10000", and true is "true".
            return {n: v if isinstance(v, str | SecretStr) else json.dumps(v) for n, v in config.items()}
        except (ValueError, TypeError, AttributeError, RecursionError):
            return None

    @field_validator("slack_webhook_url", "alert_webhook_url", "heartbeat_url")
    @classmethod
    def _is_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not re.fullmatch(r"https?://[^\s/]+/\S*", url.get_secret_value()):
            raise ValueError
        return url

    @field_validator("slack_bot_token", "pagerduty_routing_key", "alert_webhook_token")
    @classmethod
    def _is_token(cls, token: SecretStr | None) -> SecretStr | None:
        """It goes into a header or a body: what was pasted with a line break is refused by nobody else so clearly."""
        if token is not None and not re.fullmatch(r"[!-~]+", token.get_secret_value()):
            raise ValueError
        return token

    @field_validator("pagerduty_url")
    @classmethod
    def _is_https(cls, url: HttpUrl) -> HttpUrl:
        if url.scheme != "https":
            raise ValueError
        return url

    @field_validator("streaming_ops_duckdb_path")
    @classmethod
    def _is_file(cls, file: Path) -> Path:
        if not is_snowflake() and (file.is_dir() or not file.parent.is_dir()):
            raise ValueError
        return file

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            wrong = [str(one["loc"][0]) for one in error.errors(include_input=False, include_context=False)]
            if unknown := set(wrong) - type(self).model_fields.keys():
                raise TypeError(f"Settings has no {', '.join(sorted(unknown))}") from None
            # What goes with a wrong address or token is not sent anywhere else.
            unused = {name: _NEEDED_BY[name] for name in wrong if name in _NEEDED_BY}
            defaults = {name: type(self).model_fields[name].get_default() for name in (*wrong, *unused.values())}
            super().__init__(**given | defaults)
            self._problems = [self._problem(name, given, unused.get(name)) for name in dict.fromkeys(wrong)]

    @property
    def problems(self) -> list[SettingProblem]:
        """What is wrong with `.env` and with settings; each of these has its default."""
        return DOT_ENV.problems + DOT_ENV.misspelt(type(self).model_fields) + self._problems

    def _problem(self, name: str, given: dict[str, Any], unused: str | None) -> SettingProblem:
        variable, default = name.upper(), type(self).model_fields[name].default
        value = str(given.get(name, os.environ.get(variable, "")))
        is_blocking = name in _BLOCKING and (name != "snowflake_secret_id" or is_snowflake())
        if is_blocking:
            instead = "until then no run uses a warehouse"
        elif unused:
            instead = f"{unused.upper()} is not used"
        else:
            instead = "it is not used" if default is None else f"{default} is used"
        return SettingProblem(
            variable=variable,
            source="the call" if name in given else DOT_ENV.source(variable),
            text=f"it must be {_RIGHT[name]}; {instead}.",
            value=_shown(value) if name in _SHOWN else None,
            blocks_warehouse=is_blocking,
        )


_MINUTES = f"at most {_MOST_MINUTES}"
_ADDRESS, _TOKEN = "an address such as https://host/path", "letters, digits and signs, without spaces and line breaks"
# A setting that can be wrong, and how it is right.
_RIGHT = {
    "slack_webhook_url": "an address such as https://hooks.slack.com/services/...",
    "slack_bot_token": _TOKEN,
    "slack_api_url": _ADDRESS,
    "pagerduty_routing_key": _TOKEN,
    "pagerduty_url": "an address that begins with https://",
    "alert_webhook_url": _ADDRESS,
    "alert_webhook_token": _TOKEN,
    "prefect_notification_block": "the type and the name of a block, such as sendgrid-email/ops",
    "heartbeat_url": _ADDRESS,
    "streaming_ops_wait_minutes": f"a number of at least 0 and {_MINUTES}",
    "streaming_ops_hang_minutes": f"a number above 0 and {_MINUTES}",
    "streaming_ops_min_events": "a whole number of at least 1",
    "streaming_ops_docs_url": _ADDRESS,
    "streaming_ops_runbook_url": _ADDRESS,
    "streaming_ops_duckdb_path": "a file in a folder that exists",
    "streaming_ops_schema_prefix": "letters, digits and _",
    "snowflake_secret_id": "the name or the ARN of an AWS secret",
}
# Their values are no secrets: a secret that was pasted there by mistake is looked for.
_SHOWN = {name for name in _RIGHT if name.startswith(("streaming_ops_", "slack_api", "pagerduty_url", "prefect_"))}
_BLOCKING = {"streaming_ops_duckdb_path", "streaming_ops_schema_prefix", "snowflake_secret_id"}
_NEEDED_BY = {
    "slack_api_url": "slack_bot_token",
    "pagerduty_url": "pagerduty_routing_key",
    "alert_webhook_token": "alert_webhook_url",
}
_MOST_SHOWN = 60


def prefect_api() -> Any:
    """Prefect's settings of its API. Raises ValueError, one sentence, where a variable of Prefect's cannot be used."""
    try:
        from prefect.settings import get_current_settings

        api = get_current_settings().api
    except ValidationError as error:
        fields = [str(one["loc"][-1]).upper() for one in error.errors() if one["loc"]]
        names = sorted(n for n in os.environ if n.startswith("PREFECT_") and n.endswith(tuple(fields)))
        where = ", ".join(f"{name} ({DOT_ENV.source(name)})" for name in names) or ", ".join(fields)
        raise ValueError(f"Prefect does not take the value of {where}: correct it.") from None
    if api.url and not re.match(r"https?://[^/]", api.url):
        source = DOT_ENV.source("PREFECT_API_URL") if os.environ.get("PREFECT_API_URL") else "Prefect's profile"
        text = "it must be an address such as http://127.0.0.1:4200/api."
        raise ValueError(str(SettingProblem("PREFECT_API_URL", source, text, _shown(api.url))))
    return api


def _shown(value: str) -> str | None:
    """None for what may be a secret that was put there by mistake."""
    if re.search("[@?]|xox|-----|[0-9A-Za-z_-]{20,}", value):
        return None
    return value if len(value) <= _MOST_SHOWN else f"{value[:_MOST_SHOWN]}..."


def parse_as_of(text: str | None) -> str:
    """The instant to evaluate as `YYYY-MM-DDTHH:MM:SSZ`; now, where there is none.

    Raises ValueError for what parse_instant refuses, and for an instant of the future, but for clocks that differ: what
    is loaded and told there stays wrong for as long, and what the retention deletes there is gone.
    """
    now = datetime.now(UTC)
    instant = now if text is None else parse_instant(text, "as-of")
    if instant > now + timedelta(minutes=5):
        raise ValueError(f"as-of is {text!r}, more than five minutes ahead: is the year right?")
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"


def is_now(text: str | None) -> bool:
    """Whether `text`, as parse_as_of takes it, is the present, to the minute."""
    now = datetime.now(UTC)
    return text is None or abs(datetime.fromisoformat(parse_as_of(text)) - now) <= timedelta(minutes=1)


def parse_instant(text: str, name: str) -> datetime:
    """`text`, ISO 8601 (UTC where it has no offset), in UTC. Raises ValueError, by that `name`, for anything else."""
    try:
        instant = datetime.fromisoformat(text)
        instant = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):
        instant = datetime.min.replace(tzinfo=UTC)
    if not _FIRST_YEAR <= instant.year <= _LAST_YEAR:
        raise ValueError(f"{name} takes ISO 8601 UTC, such as 2026-01-31T12:00:00Z; it is {text!r}")
    return instant


def evaluation_interval(project_dir: Path = PROJECT_DIR) -> timedelta:
    """The interval of ticks and evaluation marks: `evaluation_interval_minutes` of dbt_project.yml, the only place.

    Raises ValueError unless it is a number of whole seconds that divides a day: marks are counted from midnight UTC.
    """
    given = None
    try:
        text = (project_dir / "dbt_project.yml").read_text("utf-8")
        given = yaml.safe_load(text)["vars"]["evaluation_interval_minutes"]
        interval = timedelta(minutes=given)
    except (OSError, yaml.YAMLError, KeyError, TypeError, OverflowError, ValueError):
        interval = timedelta()
    if interval <= timedelta() or interval.microseconds or _DAY % interval:
        raise ValueError(
            f"evaluation_interval_minutes in dbt_project.yml is {given!r}: it must be whole seconds, and divide a day, "
            "such as 5, 10 or 0.5"
        )
    return interval


def as_cron(interval: timedelta) -> str:
    """The interval as a cron line, UTC. Raises ValueError for one that cron cannot say."""
    minutes = interval / timedelta(minutes=1)
    hours = minutes / 60
    if minutes.is_integer() and (1 / hours).is_integer():
        return f"*/{minutes:.0f} * * * *" if hours < 1 else "0 * * * *"
    if hours.is_integer():
        return f"0 */{hours:.0f} * * *" if interval < _DAY else "0 0 * * *"
    raise ValueError(
        f"evaluation_interval_minutes in dbt_project.yml is {minutes:g}: the schedule of a worker takes minutes that "
        "divide an hour, or hours that divide a day. `python -m orchestration serve` takes any that divide a day."
    )


def log_dir() -> Path | None:
    """The folder of the log files: DBT_LOG_PATH, by default `logs` in the project. Where that cannot be written it is a
    folder of this user's in the system's temporary one. None where neither can be used."""
    wanted = PROJECT_DIR / os.environ.get("DBT_LOG_PATH", "logs")
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        return _writable(wanted)
    except OSError:
        pass
    try:
        fallback = Path(tempfile.gettempdir()) / f"streaming-ops-logs-{os.getuid()}"
        fallback.mkdir(mode=0o700, exist_ok=True)
        # Everybody may write beside it: somebody else may have made it, or a link in its place.
        found = fallback.lstat()
        is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
        return _writable(fallback) if is_ours else None
    except OSError:
        return None


def _writable(folder: Path) -> Path:
    with tempfile.TemporaryFile(dir=folder):
        return folder


def log_file() -> Path | None:
    """Has all of dbt's events of each command that failed. Bounded: see runner.py."""
    folder = log_dir()
    return folder / "streaming-ops.log" if folder else None
