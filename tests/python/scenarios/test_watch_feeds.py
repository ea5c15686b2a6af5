"""Scenarios of the alerts on models/monitoring/watch/watch_feeds.sql."""

from tests.python.scenarios.scenario import COLLECTED_AFTER_T0, Scenario, scenarios
from tests.python.warehouse import Warehouse


@scenarios(
    Scenario(
        "stale collectors",
        lambda warehouse: (
            warehouse.produce("2026-03-02T12:20:00Z"),
            warehouse.sql(
                f"delete from STREAMING.KAFKA_OFFSETS where {COLLECTED_AFTER_T0}",
                f"delete from STREAMING.CONNECTOR_STATUS where {COLLECTED_AFTER_T0}",
            ),
        ),
        {"monitoring_stale": "warn"},
        as_of="2026-03-02T12:20:00Z",
    ),
)
def test_feeds(scenario: Scenario, warehouse: Warehouse) -> None:
    scenario.check(warehouse)


def test_the_monitor_that_stopped_is_seen_by_whoever_runs_its_test(warehouse: Warehouse) -> None:
    result = warehouse.dbt._invoke("test", "--select", "monitoring_stale", as_of="2026-03-02T13:30:00Z")
    tests = [node for node in result.result.results if node.node.resource_type == "test"]
    assert [str(node.status) for node in tests] == ["fail"]
