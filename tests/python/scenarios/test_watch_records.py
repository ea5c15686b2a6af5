"""Scenarios of the alerts on models/monitoring/watch/watch_records.sql."""

from tests.python.scenarios.scenario import Scenario, content_changed, produce_then, scenarios
from tests.python.warehouse import Warehouse


@scenarios(
    Scenario(
        "unexpected payload",
        produce_then(
            content_changed(
                "{'event_type': 'order_teleported', 'event_ts': record_content['event_ts']::varchar, "
                "'order_id': record_content['order_id']::varchar, 'amount': '1', 'currency': 'XAU', 'gift_wrap': true}",
                "record_metadata['offset']::bigint % 50 = 0",
            )
        ),
        {"unexpected_payload": "warn"},
    ),
    Scenario(
        "another payload",
        produce_then(
            content_changed("{'hello': 'world'}", "record_metadata['offset']::bigint % 5 = 0"),
            until="2026-03-02T13:10:00Z",
        ),
        {"rejected_records_above_limit": "fail"},
        as_of="2026-03-02T13:10:00Z",
    ),
)
def test_records(scenario: Scenario, warehouse: Warehouse) -> None:
    scenario.check(warehouse)
