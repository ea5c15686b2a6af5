"""What can be set from outside: the environment, or a `.env` file in the project's root."""

import json
import os
import re
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import yaml
from dotenv import load_dotenv
from pydantic import Field, HttpUrl, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_FIRST_YEAR, _LAST_YEAR = 1971, 9998
AWS_NAME = r"^[A-Za-z0-9/_+=.@:-]+$"
PROJECT_DIR = Path(__file__).resolve().parent.parent

# The profile reads the environment too: so .env goes there, and not only into Settings.
load_dotenv(PROJECT_DIR / ".env")
# None of the tools calls home. Whoever wants that says so in the environment.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
# What is logged outside a flow run is only on the console.
os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
_DAY = timedelta(days=1)


class Settings(BaseSettings):
    """Every field is an environment variable; a wrong value is an error that names the variable, never the value."""

    model_config = SettingsConfigDict(env_ignore_empty=True, hide_input_in_errors=True)

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
        10, ge=0, description="How long a command by hand waits for another run to end."
    )
    streaming_ops_hang_minutes: float = Field(
        20, gt=0, description="A run whose current step shows no progress for so long is killed and reported."
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
    # Plain text: of what is wrong with a collector's setting the collector tells, and nothing else has to stop for it.
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
    def _is_url(cls, url: SecretStr | None, field: ValidationInfo) -> SecretStr | None:
        if url is not None and not re.fullmatch(r"https?://[^\s/]+/\S*", url.get_secret_value()):
            like = "hooks.slack.com/services/..." if field.field_name == "slack_webhook_url" else "host/path"
            raise ValueError(f"must be an address such as https://{like}")
        return url

    @field_validator("slack_bot_token", "pagerduty_routing_key", "alert_webhook_token")
    @classmethod
    def _is_token(cls, token: SecretStr | None) -> SecretStr | None:
        """It goes into a header or a body: what was pasted with a line break is refused by nobody else so clearly."""
        if token is not None and not re.fullmatch(r"[!-~]+", token.get_secret_value()):
            raise ValueError("must be letters, digits and signs, without spaces and line breaks")
        return token

    @field_validator("pagerduty_url")
    @classmethod
    def _is_https(cls, url: HttpUrl) -> HttpUrl:
        if url.scheme != "https":
            raise ValueError("must begin with https://: the client takes no other")
        return url


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
        given = yaml.safe_load((project_dir / "dbt_project.yml").read_text())["vars"]["evaluation_interval_minutes"]
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


def log_dir() -> Path:
    """The folder of the log files: DBT_LOG_PATH, by default `logs` in the project. Where that cannot be written it is a
    folder of this user's in the system's temporary one."""
    wanted = PROJECT_DIR / os.environ.get("DBT_LOG_PATH", "logs")
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            return wanted
    except OSError:
        fallback = Path(tempfile.gettempdir()) / f"streaming-ops-logs-{os.getuid()}"
        fallback.mkdir(mode=0o700, exist_ok=True)
        return fallback


def log_file() -> Path:
    """Has all of dbt's events of each command that failed. Bounded: see runner.py."""
    return log_dir() / "streaming-ops.log"
