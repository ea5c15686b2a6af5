"""Scenarios of the alerts on models/monitoring/watch/watch_latency.sql."""

from tests.python.scenarios.scenario import Scenario, create_time_moved_by, produce_then, scenarios
from tests.python.warehouse import Warehouse


@scenarios(
    Scenario(
        "producer's clock ahead",
        produce_then(create_time_moved_by(600_000)),
        {"clock_skew_above_limit": "fail"},
    ),
    Scenario(
        "slow connector",
        produce_then(create_time_moved_by(-200_000)),
        {"end_to_end_latency_above_limit": "warn"},
    ),
)
def test_latency(scenario: Scenario, warehouse: Warehouse) -> None:
    scenario.check(warehouse)
