"""Collectors bring what SQL cannot see into the landing tables: settings in, rows out, and nothing else.

A collector that is not configured does not run: then whoever else fills the landing tables is believed.
"""

import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from orchestration.collectors.connect import connector_status
from orchestration.collectors.kafka import kafka_offsets
from orchestration.credentials import CredentialsError, fetch_kafka_secret
from orchestration.runner import Dbt, Outcome
from orchestration.settings import Settings

logger = logging.getLogger(__name__)

Rows = list[dict[str, Any]]
_COLLECTORS: dict[str, Callable[[Settings, list[dict[str, Any]]], Rows | None]] = {
    "kafka_offsets": kafka_offsets,
    "connector_status": connector_status,
}
_ADVICE = {
    "kafka_offsets": "Check KAFKA_BOOTSTRAP_SERVERS, KAFKA_CONFIG and the topics in seeds/expected_topics.csv",
    "connector_status": "Check KAFKA_CONNECT_URL, KAFKA_CONNECT_USER and KAFKA_CONNECT_PASSWORD",
}


def collect(dbt: Dbt, as_of: str) -> list[Outcome]:
    """Runs every configured collector at once and lands what each brings; one that fails is an outcome, not an end."""
    outcomes = []
    try:
        fetch_kafka_secret(Settings())
    except CredentialsError as error:
        outcomes.append(Outcome("kafka_offsets", "collector", "error", str(error)))
    settings = Settings()
    if settings.kafka_bootstrap_servers is None and settings.kafka_connect_url is None:
        return outcomes
    expected = dbt.query("select * from {{ ref('expected_topics') }}", as_of)
    with ThreadPoolExecutor() as pool:
        running = {table: pool.submit(collector, settings, expected) for table, collector in _COLLECTORS.items()}
    for table, future in running.items():
        try:
            rows = future.result()
            if rows:
                dbt.run_operation("land_snapshot", as_of, table=table, rows=rows)
                logger.info("landed %d rows in %s", len(rows), table)
            elif rows is not None:
                outcomes.append(Outcome(table, "collector", "error", f"{_ADVICE[table]}: it lists nothing"))
        except Exception as error:
            message = f"{_ADVICE[table]}: {type(error).__name__}: {error}"
            outcomes.append(Outcome(table, "collector", "error", _without_values(message, settings)))
    return outcomes


def _without_values(message: str, settings: Settings) -> str:
    """librdkafka repeats a value that it does not understand, which may be the password in the wrong place."""
    for value in filter(None, (value.get_secret_value() for value in settings.kafka_config.values())):
        message = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "***", message)
    return message
