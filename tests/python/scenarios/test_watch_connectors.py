"""Scenarios of the alerts on models/monitoring/watch/watch_connectors.sql."""

from tests.python.scenarios.scenario import COLLECTED_AFTER_T0, Scenario, produce, produce_then, scenarios
from tests.python.warehouse import Warehouse


@scenarios(
    Scenario(
        "rebalance",
        produce_then(
            "update STREAMING.CONNECTOR_STATUS set state = 'UNASSIGNED' where collected_at > '2026-03-02 12:10:00'"
        ),
        {},
    ),
    Scenario(
        "rebalance without end",
        produce_then(f"update STREAMING.CONNECTOR_STATUS set state = 'UNASSIGNED' where {COLLECTED_AFTER_T0}"),
        {"connector_not_running": "warn"},
    ),
    Scenario("failed task", produce(failed_task=1), {"connector_not_running": "fail"}),
    Scenario(
        "paused connector",
        produce_then(f"update STREAMING.CONNECTOR_STATUS set state = 'PAUSED' where {COLLECTED_AFTER_T0}"),
        {"connector_not_running": "warn"},
    ),
    Scenario(
        "connector without tasks",
        produce_then(f"delete from STREAMING.CONNECTOR_STATUS where task_id is not null and {COLLECTED_AFTER_T0}"),
        {"connector_not_running": "fail"},
    ),
    Scenario(
        "connector deleted",
        produce_then(
            f"update STREAMING.CONNECTOR_STATUS set connector = 'another' where {COLLECTED_AFTER_T0}",
            until="2026-03-02T12:20:00Z",
        ),
        {"connector_not_running": "fail"},
        as_of="2026-03-02T12:20:00Z",
    ),
)
def test_connectors(scenario: Scenario, warehouse: Warehouse) -> None:
    scenario.check(warehouse)
