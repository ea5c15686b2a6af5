"""Scenarios of the alerts on models/monitoring/watch/watch_consumer_lag.sql."""

from tests.python.scenarios.scenario import T1, Scenario, offsets, produce_then, scenarios
from tests.python.warehouse import Warehouse


@scenarios(
    Scenario(
        "backlog over the limit",
        produce_then(offsets("log_end_offset = log_end_offset + 20000", "partition = 1", after="12:10")),
        {"consumer_lag_above_limit": "warn"},
    ),
)
def test_consumer_lag(scenario: Scenario, warehouse: Warehouse) -> None:
    scenario.check(warehouse)


def test_without_broker_offsets_lag_is_estimated_and_says_so(warehouse: Warehouse) -> None:
    warehouse.produce(T1)
    warehouse.sql("delete from STREAMING.KAFKA_OFFSETS")
    warehouse.transform(T1)
    warehouse.monitor(T1)
    rows = warehouse.sql(
        "select distinct lag_method, state, log_end_offset "
        f"from MONITORING.CONSUMER_LAG where evaluated_at = '{T1[:-1]}'"
    )
    assert rows == [("estimated", "OK", None)]


def test_lag_in_seconds_goes_on_where_the_samples_end(warehouse: Warehouse) -> None:
    later = "2026-03-02T15:00:00Z"
    warehouse.produce(later, stalled_partition=2)
    warehouse.monitor(later)
    lag = "select lag_seconds from MONITORING.CONSUMER_LAG where partition = 2 and evaluated_at = '2026-03-02 15:00:00'"
    assert 10_700 < warehouse.sql(lag)[0][0] < 10_900
