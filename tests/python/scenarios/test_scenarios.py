"""Each fault rings its own alert and no other, through real dbt; a healthy stream rings none."""

from dataclasses import dataclass

import pytest

from orchestration.runner import Dbt
from tests.python.warehouse import T0, T0_MS, Change, Warehouse

T1 = "2026-03-02T12:12:00Z"
COLLECTED_AFTER_T0 = "collected_at > '2026-03-02 12:00:00'"
PUSHED_AFTER_T0 = f"record_metadata['SnowflakeConnectorPushTime']::bigint > {T0_MS}"


@dataclass(frozen=True)
class Scenario:
    name: str
    fault: Change
    fires: dict[str, str]
    as_of: str = T1
    is_transformed: bool = True


def _produce(until: str = T1, **options: int) -> Change:
    return lambda warehouse: warehouse.produce(until, **options)


def _produce_then(statement: str, until: str = T1) -> Change:
    return lambda warehouse: (warehouse.produce(until), warehouse.sql(statement))


def _create_time_moved_by(milliseconds: int) -> str:
    return f"""
        update STREAMING.ORDER_EVENTS set record_metadata = {{
            'topic': record_metadata['topic']::varchar, 'partition': record_metadata['partition']::int,
            'offset': record_metadata['offset']::bigint, 'key': record_metadata['key']::varchar,
            'CreateTime': record_metadata['CreateTime']::bigint + ({milliseconds}),
            'SnowflakeConnectorPushTime': record_metadata['SnowflakeConnectorPushTime']::bigint
        }}::variant where {PUSHED_AFTER_T0}
    """


def _dead_topic(warehouse: Warehouse) -> None:
    warehouse.produce(T1)
    warehouse.sql(
        f"delete from STREAMING.ORDER_EVENTS where {PUSHED_AFTER_T0}",
        """
        update STREAMING.KAFKA_OFFSETS as later
        set log_end_offset = landed.next_offset, committed_offset = landed.next_offset
        from (
            select
                record_metadata['partition']::int as partition,
                max(record_metadata['offset']::bigint) + 1 as next_offset
            from STREAMING.ORDER_EVENTS group by 1
        ) as landed
        where landed.partition = later.partition and later.collected_at >= timestamp '2026-03-02 12:00:00'
        """,
    )


def _offsets(changes: str, where: str = "true", after: str = "12:00", copy: bool = False) -> str:
    """Changes what was collected after that time; with `copy` of a row that is added."""
    where = f"{where} and collected_at > '2026-03-02 {after}:00'"
    if not copy:
        return f"update STREAMING.KAFKA_OFFSETS set {changes} where {where}"
    values = dict(change.split(" = ") for change in changes.split(", "))
    replaced = ", ".join(f"{value} as {column}" for column, value in values.items())
    return (
        f"insert into STREAMING.KAFKA_OFFSETS select * replace ({replaced}) from STREAMING.KAFKA_OFFSETS where {where}"
    )


def _content_changed(content: str, where: str) -> str:
    return f"update STREAMING.ORDER_EVENTS set record_content = {content}::variant where {PUSHED_AFTER_T0} and {where}"


SCENARIOS = [
    Scenario("healthy", _produce(), {}),
    Scenario("stalled partition", _produce(stalled_partition=2), {"partition_stalled": "fail"}),
    Scenario("dead topic", _dead_topic, {"throughput_below_floor": "fail"}),
    Scenario(
        "vanished partition",
        _produce_then(f"delete from STREAMING.KAFKA_OFFSETS where partition = 3 and {COLLECTED_AFTER_T0}"),
        {"partition_not_seen": "fail"},
    ),
    Scenario(
        "added partition",
        _produce_then(
            _offsets("partition = 6, log_end_offset = 3, committed_offset = null", "partition = 3", copy=True)
        ),
        {},
    ),
    Scenario("missing commit", _produce_then(_offsets("committed_offset = null", "partition = 3")), {}),
    Scenario(
        "re-created topic",
        _produce_then(_offsets("log_end_offset = 40", "partition = 3", after="12:10")),
        {"partition_rewound": "fail"},
    ),
    Scenario(
        "group reset",
        _produce_then(_offsets("committed_offset = 7", "partition = 3", after="12:10")),
        {"partition_rewound": "fail"},
    ),
    Scenario(
        "retention overtakes a stalled partition",
        lambda warehouse: (
            warehouse.produce("2026-03-02T12:22:00Z", stalled_partition=2),
            warehouse.sql(_offsets("log_start_offset = log_end_offset - 1", "partition = 2")),
        ),
        {"partition_stalled": "fail", "records_expired": "fail"},
        as_of="2026-03-02T12:22:00Z",
    ),
    # A hundred more at each sample, for as long as the window.
    Scenario(
        "partition falls behind",
        _produce_then(
            _offsets(
                "log_end_offset = log_end_offset + epoch(collected_at - timestamp '2026-03-02 11:00') // 3",
                after="11:05",
            )
        ),
        {"partition_falling_behind": "warn"},
    ),
    Scenario(
        "collector fails",
        _produce_then(
            "insert into STREAMING.COLLECTOR_RUNS values ('2026-03-02 12:12', 'kafka_offsets', 3, 'group g: refused')"
        ),
        {"collector_failed": "warn"},
    ),
    Scenario(
        "collector fails for a quarter of an hour",
        _produce_then(
            "insert into STREAMING.COLLECTOR_RUNS select timestamp '2026-03-02 12:02' + interval 5 minute * n, "
            "'kafka_offsets', 0, 'refused' from range(3) as r (n)"
        ),
        {"collector_failed": "fail"},
    ),
    Scenario(
        "rebalance",
        _produce_then(
            "update STREAMING.CONNECTOR_STATUS set state = 'UNASSIGNED' where collected_at > '2026-03-02 12:10:00'"
        ),
        {},
    ),
    Scenario(
        "rebalance without end",
        _produce_then(f"update STREAMING.CONNECTOR_STATUS set state = 'UNASSIGNED' where {COLLECTED_AFTER_T0}"),
        {"connector_not_running": "warn"},
    ),
    Scenario(
        "throughput drop",
        _produce_then(
            f"delete from STREAMING.ORDER_EVENTS where {PUSHED_AFTER_T0} and record_metadata['offset']::bigint % 3 <> 0"
        ),
        {"throughput_dropped": "warn"},
    ),
    Scenario(
        "backlog over the limit",
        _produce_then(_offsets("log_end_offset = log_end_offset + 20000", "partition = 1", after="12:10")),
        {"consumer_lag_above_limit": "warn"},
    ),
    Scenario("failed task", _produce(failed_task=1), {"connector_not_running": "fail"}),
    Scenario(
        "paused connector",
        _produce_then(f"update STREAMING.CONNECTOR_STATUS set state = 'PAUSED' where {COLLECTED_AFTER_T0}"),
        {"connector_not_running": "warn"},
    ),
    Scenario(
        "connector without tasks",
        _produce_then(f"delete from STREAMING.CONNECTOR_STATUS where task_id is not null and {COLLECTED_AFTER_T0}"),
        {"connector_not_running": "fail"},
    ),
    Scenario(
        "connector deleted",
        _produce_then(
            f"update STREAMING.CONNECTOR_STATUS set connector = 'another' where {COLLECTED_AFTER_T0}",
            until="2026-03-02T12:20:00Z",
        ),
        {"connector_not_running": "fail"},
        as_of="2026-03-02T12:20:00Z",
    ),
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
    Scenario(
        "late transform",
        _produce("2026-03-02T12:20:00Z"),
        {"transform_behind": "warn"},
        as_of="2026-03-02T12:20:00Z",
        is_transformed=False,
    ),
    # Found by no run: pushed two hours before the newest record, and landed after it.
    Scenario(
        "lost records",
        _produce_then(
            f"""
            insert into STREAMING.ORDER_EVENTS select
                {{'topic': 'orders', 'partition': 1, 'offset': -1 - n, 'CreateTime': {T0_MS - 7_200_000} + n,
                 'SnowflakeConnectorPushTime': {T0_MS - 7_200_000} + n}}::variant, null from range(3) as r (n)
            """
        ),
        {"records_missing": "fail"},
    ),
    Scenario(
        "unexpected payload",
        _produce_then(
            _content_changed(
                "{'event_type': 'order_teleported', 'event_ts': record_content['event_ts']::varchar, "
                "'order_id': record_content['order_id']::varchar, 'amount': '1', 'currency': 'XAU', 'gift_wrap': true}",
                "record_metadata['offset']::bigint % 50 = 0",
            )
        ),
        {"unexpected_payload": "warn"},
    ),
    Scenario(
        "another payload",
        _produce_then(
            _content_changed("{'hello': 'world'}", "record_metadata['offset']::bigint % 5 = 0"),
            until="2026-03-02T13:10:00Z",
        ),
        {"rejected_records_above_limit": "fail"},
        as_of="2026-03-02T13:10:00Z",
    ),
    Scenario(
        "producer's clock ahead",
        _produce_then(_create_time_moved_by(600_000)),
        {"clock_skew_above_limit": "fail"},
    ),
    Scenario(
        "slow connector",
        _produce_then(_create_time_moved_by(-200_000)),
        {"end_to_end_latency_above_limit": "warn"},
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_fault_fires_exactly_its_own_alert(scenario: Scenario, warehouse: Warehouse) -> None:
    scenario.fault(warehouse)
    if scenario.is_transformed:
        warehouse.transform(scenario.as_of)

    assert warehouse.firing(scenario.as_of) == scenario.fires

    # On the very tick that an alert fires the history has its rows ...
    metrics = warehouse.sql(
        f"select distinct metric_type from MONITORING.STREAMING_METRICS where timestamp = '{scenario.as_of[:-1]}'"
    )
    assert len(metrics) == 18
    # ... and the alert's own table says what was measured against what, and since when.
    for alert in scenario.fires:
        rows = warehouse.sql(f"select measured, allowed, since, detail from MONITORING.{alert} where level > 0")
        assert rows
        assert all(value not in (None, "") for row in rows for value in row), rows


def test_an_alert_tells_the_limit_that_was_crossed(warehouse: Warehouse) -> None:
    warehouse.produce(T1)
    for minutes, expected in (((12,), ("1 failed run", "at most 0")), ((2, 7), ("3 failed runs", "at most 2"))):
        runs = [f"('2026-03-02 12:{minute:02}', 'kafka_offsets', 0, 'refused')" for minute in minutes]
        warehouse.sql(f"insert into STREAMING.COLLECTOR_RUNS values {', '.join(runs)}")
        warehouse.monitor(T1)
        assert warehouse.sql("select measured, allowed from MONITORING.COLLECTOR_FAILED where level > 0") == [expected]


def test_an_alert_ends_when_its_fault_does(warehouse: Warehouse) -> None:
    warehouse.produce(T1, stalled_partition=2, failed_task=0)
    assert set(warehouse.firing(T1)) == {"partition_stalled", "connector_not_running"}
    # The generator releases what the partition held back; ten minutes on, its backlog no longer shows in the latency.
    later = "2026-03-02T12:22:00Z"
    warehouse.produce(later)
    warehouse.transform(later)
    assert warehouse.firing(later) == {}


def test_a_drop_does_not_become_the_new_normal_within_hours(warehouse: Warehouse) -> None:
    later = "2026-03-02T16:00:00Z"
    warehouse.produce(later)
    warehouse.sql(
        f"delete from STREAMING.ORDER_EVENTS where {PUSHED_AFTER_T0} and record_metadata['offset']::bigint % 3 <> 0"
    )
    warehouse.transform(later)
    assert warehouse.firing(later) == {"throughput_dropped": "warn"}


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


def test_the_monitor_that_stopped_is_seen_by_whoever_runs_its_test(warehouse: Warehouse) -> None:
    result = warehouse.dbt._invoke("test", "--select", "monitoring_stale", as_of="2026-03-02T13:30:00Z")
    tests = [node for node in result.result.results if node.node.resource_type == "test"]
    assert [str(node.status) for node in tests] == ["fail"]


def test_late_records_restate_what_was_evaluated(warehouse: Warehouse) -> None:
    late = f"record_metadata['SnowflakeConnectorPushTime']::bigint between {T0_MS + 600_000} and {T0_MS + 660_000}"
    counted = f"select event_count from MONITORING.THROUGHPUT where evaluated_at = '{T1[:-1]}'"
    warehouse.produce(T1)
    warehouse.sql(
        f"create table main.late as from STREAMING.ORDER_EVENTS where {late}",
        f"delete from STREAMING.ORDER_EVENTS where {late}",
    )
    warehouse.monitor(T1)
    before, missing = warehouse.sql(counted)[0][0], warehouse.sql("select count(*) from main.late")[0][0]
    warehouse.sql("insert into STREAMING.ORDER_EVENTS from main.late", "drop table main.late")
    warehouse.monitor("2026-03-02T12:17:00Z")
    assert missing > 10
    assert warehouse.sql(counted) == [(before + missing,)]
    # Nothing else was evaluated again: the next tick has only itself.
    warehouse.monitor("2026-03-02T12:22:00Z")
    assert warehouse.sql("select count(*) from MONITORING.EVALUATION_MARKS") == [(1,)]


def test_retention_deletes_day_by_day_and_goes_on_in_the_next_run(warehouse: Warehouse) -> None:
    days = "select count(distinct date_trunc('day', bucket_start)) from MONITORING.ORDER_EVENT_BUCKETS"
    collected = "select count(distinct date_trunc('day', collected_at)) from STREAMING.KAFKA_OFFSETS"
    assert warehouse.sql(days) == warehouse.sql(collected) == [(4,)]
    for left in (3, 2, 2):
        variables = {"buckets_retention_days": 30, "retention_step_days": 1}
        warehouse.dbt._invoke("run-operation", "apply_retention", as_of="2026-03-31T12:00:00Z", **variables)
        assert warehouse.sql(days) == warehouse.sql(collected) == [(left,)]
    assert warehouse.sql("select count(*) > 0 from MONITORING.STREAMING_METRICS") == [(True,)]
    with pytest.raises(Exception, match="at least 30"):
        warehouse.dbt._invoke("run-operation", "apply_retention", as_of=T1, buckets_retention_days=7)


def test_missed_marks_are_evaluated_by_the_next_tick(warehouse: Warehouse) -> None:
    later = "2026-03-02T12:47:03Z"
    warehouse.produce(later)
    warehouse.monitor(later)
    marks = warehouse.sql(
        "select distinct strftime(timestamp, '%H:%M:%S') from MONITORING.STREAMING_METRICS order by 1"
    )
    assert [mark for (mark,) in marks] == [
        "12:00:00", "12:05:00", "12:10:00", "12:15:00", "12:20:00",
        "12:25:00", "12:30:00", "12:35:00", "12:40:00", "12:47:03",
    ]  # fmt: skip
    # What they say is what they would have said then: no lag was ever large, no window ever empty.
    assert warehouse.sql("select min(event_count) > 0, max(p95_seconds) < 60 from MONITORING.END_TO_END_LATENCY") == [
        (True, True)
    ]


def test_a_tick_repeated_changes_nothing(warehouse: Warehouse) -> None:
    warehouse.produce(T1)
    counts = """
        select
            (select count(*) from MONITORING.STREAMING_METRICS),
            (select count(*) from MONITORING.CONSUMER_LAG),
            (select sum(record_count) from MONITORING.ORDER_EVENT_BUCKETS)
    """
    warehouse.monitor(T1)
    first = warehouse.sql(counts)
    warehouse.monitor(T1)
    assert warehouse.sql(counts) == first


def test_the_past_can_be_evaluated_again_with_an_as_of(warehouse: Warehouse) -> None:
    assert warehouse.firing("2026-03-02T10:00:00Z") == {}
    rows = warehouse.sql(
        "select max(landed_offset) from MONITORING.CONSUMER_LAG where evaluated_at = '2026-03-02 10:00:00'"
    )
    landed = warehouse.sql(
        "select max(record_metadata['offset']::bigint) from STREAMING.ORDER_EVENTS "
        f"where record_metadata['SnowflakeConnectorPushTime']::bigint < {T0_MS - 7_200_000}"
    )
    assert rows == landed


def test_as_of_must_be_an_instant(warehouse: Warehouse) -> None:
    with pytest.raises(Exception, match="as_of must be ISO 8601"):
        warehouse.dbt.query("select {{ as_of() }}", "yesterday")
    assert warehouse.dbt.query("select 1 as one", T1) == [{"one": 1}]


def test_lag_in_seconds_goes_on_where_the_samples_end(warehouse: Warehouse) -> None:
    later = "2026-03-02T15:00:00Z"
    warehouse.produce(later, stalled_partition=2)
    warehouse.monitor(later)
    lag = "select lag_seconds from MONITORING.CONSUMER_LAG where partition = 2 and evaluated_at = '2026-03-02 15:00:00'"
    assert 10_700 < warehouse.sql(lag)[0][0] < 10_900


def test_a_full_refresh_leaves_the_history_alone(warehouse: Warehouse) -> None:
    warehouse.produce(T1)
    warehouse.monitor(T1)
    history = "select timestamp, count(*) from MONITORING.STREAMING_METRICS group by 1 order by 1"
    before = warehouse.sql(history)
    warehouse.dbt._invoke("run", "--select", "tag:monitoring", "--full-refresh", as_of=T1)
    assert warehouse.sql(history) == before
    assert len(before) == 3


def test_a_sandbox_has_schemas_of_its_own(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMING_OPS_SCHEMA_PREFIX", "ANA_")
    sandbox = Dbt()
    sandbox.run_operation("create_landing_tables", T1)
    outcomes = sandbox.build("resource_type:seed tag:staging tag:streaming tag:monitoring", T1)
    assert [o.name for o in outcomes if o.is_broken] == []
    schemas = [name for (name,) in warehouse.sql("select distinct schema_name from duckdb_tables() order by 1")]
    assert schemas == ["ANALYTICS", "ANA_ANALYTICS", "ANA_MONITORING", "MONITORING", "STREAMING"]
    # The landed records are everybody's; what was made of them is the same.
    same = "select (select count(*) from ANALYTICS.FCT_ORDERS) = (select count(*) from ANA_ANALYTICS.FCT_ORDERS)"
    assert warehouse.sql(same) == [(True,)]
    assert {row["alert"] for row in sandbox.query("{{ alert_status() }}", T1)} >= {"partition_stalled"}


def test_t0_is_what_the_table_says() -> None:
    from datetime import datetime

    assert datetime.fromisoformat(T0).timestamp() * 1000 == T0_MS
