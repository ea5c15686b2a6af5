"""Scenarios of the alerts on models/monitoring/watch/watch_transform.sql."""

from tests.python.scenarios.scenario import Scenario, produce, scenarios
from tests.python.warehouse import Warehouse


@scenarios(
    Scenario(
        "late transform",
        produce("2026-03-02T12:20:00Z"),
        {"transform_behind": "warn"},
        as_of="2026-03-02T12:20:00Z",
        is_transformed=False,
    ),
)
def test_transform(scenario: Scenario, warehouse: Warehouse) -> None:
    scenario.check(warehouse)
