"""Scenarios of the alerts on models/monitoring/watch/watch_collectors.sql."""

from tests.python.scenarios.scenario import T1, Scenario, produce_then, scenarios
from tests.python.warehouse import Warehouse


@scenarios(
    Scenario(
        "collector fails",
        produce_then(
            "insert into STREAMING.COLLECTOR_RUNS values ('2026-03-02 12:12', 'kafka_offsets', 3, 'group g: refused')"
        ),
        {"collector_failed": "warn"},
    ),
    Scenario(
        "collector fails for a quarter of an hour",
        produce_then(
            "insert into STREAMING.COLLECTOR_RUNS select timestamp '2026-03-02 12:02' + interval 5 minute * n, "
            "'kafka_offsets', 0, 'refused' from range(3) as r (n)"
        ),
        {"collector_failed": "fail"},
    ),
)
def test_collectors(scenario: Scenario, warehouse: Warehouse) -> None:
    scenario.check(warehouse)


def test_an_alert_tells_the_limit_that_was_crossed(warehouse: Warehouse) -> None:
    warehouse.produce(T1)
    for minutes, expected in (((12,), ("1 failed run", "at most 0")), ((2, 7), ("3 failed runs", "at most 2"))):
        runs = [f"('2026-03-02 12:{minute:02}', 'kafka_offsets', 0, 'refused')" for minute in minutes]
        warehouse.sql(f"insert into STREAMING.COLLECTOR_RUNS values {', '.join(runs)}")
        warehouse.monitor(T1)
        assert warehouse.sql("select measured, allowed from MONITORING.COLLECTOR_FAILED where level > 0") == [expected]
