"""Collectors bring what SQL cannot see into the landing tables: settings in, rows out, and nothing else.

A collector that is not configured does not run: then whoever else fills the landing tables is believed. What one could
not get is data too, the `error` in COLLECTOR_RUNS, of which a dbt test makes an alert.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from orchestration.collectors.base import NOTHING, Collected, Collector, CollectorError, Rows, redact, secrets_of
from orchestration.collectors.confluent_metrics import consumer_lag
from orchestration.collectors.connect import connector_status
from orchestration.collectors.kafka import kafka_offsets
from orchestration.outcomes import DbtError, Outcome
from orchestration.receivers.clean import plain
from orchestration.settings import Settings

if TYPE_CHECKING:
    from orchestration.runner import Dbt

logger = logging.getLogger(__name__)


def configured(settings: Settings) -> dict[str, Collector]:
    """The collectors to run, by the landing table that each fills. Brokers win over the Metrics API."""
    collectors: dict[str, Collector] = {}
    if settings.kafka_bootstrap_servers or settings.kafka_secret_id:
        collectors["kafka_offsets"] = kafka_offsets
    elif settings.confluent_cluster_id:
        collectors["kafka_offsets"] = consumer_lag
    if settings.kafka_connect_url:
        collectors["connector_status"] = connector_status
    return collectors


def gather(settings: Settings, expected: Rows) -> dict[str, Collected]:
    """What every configured collector brings, all at once; one that fails brings no rows, and why."""
    collectors = configured(settings)
    with ThreadPoolExecutor(max(1, len(collectors))) as pool:
        found = pool.map(lambda collector: _safely(collector, settings, expected), collectors.values())
    return dict(zip(collectors, found, strict=True))


def _safely(collector: Collector, settings: Settings, expected: Rows) -> Collected:
    try:
        found = collector(settings, expected)
    except CollectorError as error:
        return Collected(problems=[str(error)])
    except Exception as error:
        # Nobody has looked at what this one says.
        secrets = secrets_of(settings, every_kafka_setting=True)
        return Collected(problems=[redact(f"{type(error).__name__}: {error}", secrets)])
    if not (found.rows or found.problems):
        found.problems.append(NOTHING)
    return found


def _storable(value: Any) -> Any:
    """JSON can hold half of a surrogate pair, which no warehouse takes."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def collect(dbt: "Dbt", as_of: str) -> list[Outcome]:
    """Lands what the configured collectors bring, and how each came off; only what cannot be landed is an outcome."""
    settings = Settings()
    if not configured(settings):
        return []
    expected = dbt.query("select * from {{ ref('expected_topics') }}", as_of)
    outcomes, runs = [], []
    for table, found in gather(settings, expected).items():
        landed = 0
        try:
            if found.rows:
                rows = [{column: _storable(value) for column, value in row.items()} for row in found.rows]
                dbt.run_operation("land_snapshot", as_of, table=table, rows=rows)
                landed = len(found.rows)
                logger.info("landed %d rows in %s", landed, table)
        except DbtError as error:
            outcomes.append(Outcome(table, "collector", "error", str(error)))
            found.problems.append("what was collected could not be landed: look at the flow run's error")
        problem = _storable(plain("; ".join(found.problems), 1000)) or None
        if problem:
            logger.warning("collecting %s: %s", table, problem)
        runs.append({"collector": table, "row_count": landed, "error": problem})
    try:
        dbt.run_operation("land_snapshot", as_of, table="collector_runs", rows=runs)
    except DbtError as error:
        outcomes.append(Outcome("collector_runs", "collector", "error", str(error)))
    return outcomes
