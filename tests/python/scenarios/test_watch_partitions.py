"""Scenarios of the alerts on models/monitoring/watch/watch_partitions.sql."""

from tests.python.scenarios.scenario import COLLECTED_AFTER_T0, Scenario, offsets, produce, produce_then, scenarios
from tests.python.warehouse import Warehouse


@scenarios(
    Scenario("stalled partition", produce(stalled_partition=2), {"partition_stalled": "fail"}),
    Scenario(
        "vanished partition",
        produce_then(f"delete from STREAMING.KAFKA_OFFSETS where partition = 3 and {COLLECTED_AFTER_T0}"),
        {"partition_not_seen": "fail"},
    ),
    Scenario(
        "added partition",
        produce_then(offsets("partition = 6, log_end_offset = 3, committed_offset = null", "partition = 3", copy=True)),
        {},
    ),
    Scenario("missing commit", produce_then(offsets("committed_offset = null", "partition = 3")), {}),
    Scenario(
        "re-created topic",
        produce_then(offsets("log_end_offset = 40", "partition = 3", after="12:10")),
        {"partition_rewound": "fail"},
    ),
    Scenario(
        "group reset",
        produce_then(offsets("committed_offset = 7", "partition = 3", after="12:10")),
        {"partition_rewound": "fail"},
    ),
    Scenario(
        "retention overtakes a stalled partition",
        lambda warehouse: (
            warehouse.produce("2026-03-02T12:22:00Z", stalled_partition=2),
            warehouse.sql(offsets("log_start_offset = log_end_offset - 1", "partition = 2")),
        ),
        {"partition_stalled": "fail", "records_expired": "fail"},
        as_of="2026-03-02T12:22:00Z",
    ),
    # A hundred more at each sample, for as long as the window.
    Scenario(
        "partition falls behind",
        produce_then(
            offsets(
                "log_end_offset = log_end_offset + epoch(collected_at - timestamp '2026-03-02 11:00') // 3",
                after="11:05",
            )
        ),
        {"partition_falling_behind": "warn"},
    ),
)
def test_partitions(scenario: Scenario, warehouse: Warehouse) -> None:
    scenario.check(warehouse)
