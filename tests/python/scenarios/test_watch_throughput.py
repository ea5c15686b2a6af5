"""Scenarios of the alerts on models/monitoring/watch/watch_throughput.sql."""

from tests.python.scenarios.scenario import PUSHED_AFTER_T0, Scenario, dead_topic, produce, produce_then, scenarios
from tests.python.warehouse import Warehouse


@scenarios(
    Scenario("healthy", produce(), {}),
    Scenario("dead topic", dead_topic, {"throughput_below_floor": "fail"}),
    Scenario(
        "throughput drop",
        produce_then(
            f"delete from STREAMING.ORDER_EVENTS where {PUSHED_AFTER_T0} and record_metadata['offset']::bigint % 3 <> 0"
        ),
        {"throughput_dropped": "warn"},
    ),
)
def test_throughput(scenario: Scenario, warehouse: Warehouse) -> None:
    scenario.check(warehouse)


def test_a_drop_does_not_become_the_new_normal_within_hours(warehouse: Warehouse) -> None:
    later = "2026-03-02T16:00:00Z"
    warehouse.produce(later)
    warehouse.sql(
        f"delete from STREAMING.ORDER_EVENTS where {PUSHED_AFTER_T0} and record_metadata['offset']::bigint % 3 <> 0"
    )
    warehouse.transform(later)
    assert warehouse.firing(later) == {"throughput_dropped": "warn"}
