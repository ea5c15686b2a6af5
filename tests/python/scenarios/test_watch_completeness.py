"""Scenarios of the alerts on models/monitoring/watch/watch_completeness.sql."""

from tests.python.scenarios.scenario import Scenario, produce_then, scenarios
from tests.python.warehouse import T0_MS, Warehouse


@scenarios(
    # Found by no run: pushed two hours before the newest record, and landed after it.
    Scenario(
        "lost records",
        produce_then(
            f"""
            insert into STREAMING.ORDER_EVENTS select
                {{'topic': 'orders', 'partition': 1, 'offset': -1 - n, 'CreateTime': {T0_MS - 7_200_000} + n,
                 'SnowflakeConnectorPushTime': {T0_MS - 7_200_000} + n}}::variant, null from range(3) as r (n)
            """
        ),
        {"records_missing": "fail"},
    ),
)
def test_completeness(scenario: Scenario, warehouse: Warehouse) -> None:
    scenario.check(warehouse)
