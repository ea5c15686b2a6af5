"""Evaluations of one moment and of the past: marks, restatements, retention, refreshes, and schemas of one's own."""

import pytest

from orchestration.runner import Dbt
from tests.python.scenarios.scenario import T1
from tests.python.warehouse import T0_MS, Warehouse


def test_an_alert_ends_when_its_fault_does(warehouse: Warehouse) -> None:
    warehouse.produce(T1, stalled_partition=2, failed_task=0)
    assert set(warehouse.firing(T1)) == {"partition_stalled", "connector_not_running"}
    # The generator releases what the partition held back; ten minutes on, its backlog no longer shows in the latency.
    later = "2026-03-02T12:22:00Z"
    warehouse.produce(later)
    warehouse.transform(later)
    assert warehouse.firing(later) == {}


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
