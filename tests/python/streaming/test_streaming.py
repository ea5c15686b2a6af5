"""Every landed record ends in exactly one place, once, whatever order the world delivers it in."""

from typing import Any

import pytest

from orchestration import steps
from orchestration.runner import Dbt, DbtError
from tests.python.warehouse import T0, T0_MS, Warehouse, land, literal, record

DAY_MS = 86_400_000


def _order(warehouse: Warehouse, order_id: str = "X1") -> dict[str, Any]:
    names = [
        "order_status",
        "latest_event_type",
        "event_count",
        "first_event_at",
        "last_event_at",
        "amount",
        "latest_offset",
    ]
    rows = warehouse.sql(f"select {', '.join(names)} from ANALYTICS.FCT_ORDERS where order_id = '{order_id}'")
    assert len(rows) == 1
    return dict(zip(names, map(str, rows[0]), strict=True))


def test_the_incremental_tables_equal_a_full_refresh(warehouse: Warehouse) -> None:
    for minute in (7, 31, 32, 55):
        warehouse.produce(f"2026-03-02T12:{minute:02}:00Z", stalled_partition=1 if minute == 31 else None)
        warehouse.transform(f"2026-03-02T12:{minute:02}:00Z")
    # Left out: what says when a record was loaded. VARIANT is compared as text.
    tables = {
        "FCT_ORDERS": "* exclude (loaded_at, load_id)",
        "FCT_ORDER_EVENTS": "* exclude (loaded_at, load_id, landed_at, pushed_at)",
        "REJECTED_ORDER_EVENTS": "* exclude (loaded_at, load_id, landed_at, pushed_at, record_metadata) "
        "replace (record_content::varchar as record_content)",
    }
    warehouse.sql(
        *(f"create table main.{table} as select {columns} from ANALYTICS.{table}" for table, columns in tables.items())
    )
    warehouse.dbt._invoke("run", "--select", "tag:streaming", "--full-refresh", as_of="2026-03-02T13:00:00Z")
    for table, columns in tables.items():
        rebuilt = f"(select {columns} from ANALYTICS.{table})"
        assert warehouse.sql(f"select count(*) from (from main.{table} except from {rebuilt})") == [(0,)]
        assert warehouse.sql(f"select count(*) from (from {rebuilt} except from main.{table})") == [(0,)]


def test_every_landed_record_is_in_exactly_one_place(warehouse: Warehouse) -> None:
    warehouse.produce("2026-03-02T12:30:00Z")
    warehouse.transform("2026-03-02T12:30:00Z")
    landed, events, rejected, shared = warehouse.sql(
        """
        select
            (
                select count(distinct (record_metadata['partition']::int, record_metadata['offset']::bigint))
                from STREAMING.ORDER_EVENTS
            ),
            (select count(*) from ANALYTICS.FCT_ORDER_EVENTS),
            (select count(*) from ANALYTICS.REJECTED_ORDER_EVENTS),
            (select count(*) from ANALYTICS.FCT_ORDER_EVENTS join ANALYTICS.REJECTED_ORDER_EVENTS using (record_id))
        """
    )[0]
    assert (landed, shared) == (events + rejected, 0)
    assert rejected > 0
    reasons = warehouse.sql("select distinct rejected_reason from ANALYTICS.REJECTED_ORDER_EVENTS order by 1")
    assert reasons == [("invalid_amount",), ("missing_order_id",), ("tombstone",)]


def test_a_redelivered_record_counts_once_also_when_it_comes_later(warehouse: Warehouse) -> None:
    record_once = record(1, "order_created", "2026-03-02T11:59:00Z")
    again = ({**record_once[0], "SnowflakeConnectorPushTime": T0_MS + 400_000}, record_once[1])
    land(warehouse, record_once, record_once)
    warehouse.transform("2026-03-02T12:05:00Z")
    land(warehouse, again)
    warehouse.transform("2026-03-02T12:10:00Z")
    assert _order(warehouse)["event_count"] == "1"


def test_a_record_redelivered_days_later_counts_once(warehouse: Warehouse) -> None:
    dated, content = record(1, "order_created", "2026-03-02T11:59:00Z")
    undated = {key: value for key, value in dated.items() if key != "CreateTime"} | {"offset": 2}
    pushed = "SnowflakeConnectorPushTime"
    for day in (0, 1, 3):
        moved = T0_MS + day * DAY_MS
        land(warehouse, (dated | {pushed: moved}, content), (undated | {pushed: moved}, content))
        warehouse.transform(f"2026-03-0{2 + day}T12:05:00Z")
        assert warehouse.dbt.query("{{ pending_records() }}", f"2026-03-0{2 + day}T12:06:00Z")[0]["pending"] == 0
    assert _order(warehouse)["event_count"] == "2"


def test_a_recreated_topic_without_a_create_time_is_told_by_its_payload(warehouse: Warehouse) -> None:
    records = [
        record(1, kind, f"2026-03-02T11:0{n}:00Z", event_id=kind)
        for n, kind in enumerate(("order_created", "order_paid"))
    ]
    for metadata, content in records:
        del metadata["CreateTime"]
        land(warehouse, (metadata, content))
    warehouse.transform("2026-03-02T12:05:00Z")
    assert (_order(warehouse)["order_status"], _order(warehouse)["event_count"]) == ("paid", "2")


def test_a_backlog_is_loaded_in_steps_and_an_interrupted_one_goes_on(warehouse: Warehouse) -> None:
    warehouse.produce("2026-03-02T18:00:00Z")
    loads = """
        select count(*), max(records), sum(records)
        from (select count(*) as records from ANALYTICS.ORDER_EVENT_RECORDS where load_id > {} group by load_id)
    """
    (first,) = warehouse.sql("select max(load_id) from ANALYTICS.ORDER_EVENT_RECORDS")[0]
    for _ in range(3):
        warehouse.dbt.build("tag:streaming", "2026-03-02T18:00:00Z", load_step_records=1000)
    count, largest, before = warehouse.sql(loads.format(first))[0]
    assert (count, largest <= 1000) == (3, True)
    warehouse.transform("2026-03-02T18:00:00Z")
    assert warehouse.sql(loads.format(first))[0][0] == 4
    assert warehouse.sql(loads.format(first))[0][2] > before + 1000
    folded = "select sum(event_count) = (select count(*) from ANALYTICS.FCT_ORDER_EVENTS) from ANALYTICS.FCT_ORDERS"
    assert warehouse.sql(folded) == [(True,)]


def test_the_flow_repeats_the_run_until_nothing_waits(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse.produce("2026-03-02T18:00:00Z")
    monkeypatch.setitem(warehouse.dbt._variables, "load_step_records", 3000)
    warehouse.transform("2026-03-02T18:00:00Z")
    assert warehouse.sql("select count(distinct load_id) > 3 from ANALYTICS.ORDER_EVENT_RECORDS") == [(True,)]
    assert warehouse.dbt.query("{{ pending_records() }}", "2026-03-02T18:00:00Z") == [
        {"pending": 0, "is_partial": False}
    ]


def test_a_load_of_rejected_records_alone_does_not_hold_up_the_orders(warehouse: Warehouse) -> None:
    land(warehouse, (record(1, "order_created", "2026-03-02T11:00:00Z")[0], None))
    warehouse.transform("2026-03-02T12:05:00Z")
    late = T0_MS + 400_000
    land(warehouse, *(record(2 + n, "order_paid", "2026-03-02T11:00:00Z", pushed_ms=late) for n in range(3)))
    warehouse.dbt.build("tag:streaming", "2026-03-02T12:10:00Z", load_step_records=2)
    assert _order(warehouse)["event_count"] == "3"


def test_a_replay_of_more_than_a_step_does_not_hold_up_what_is_new(warehouse: Warehouse) -> None:
    metadata, content = record(1, "order_created", "2026-03-02T11:00:00Z", pushed_ms=T0_MS)
    land(warehouse, (metadata, content))
    warehouse.transform("2026-03-02T12:05:00Z")
    pushed = [{"SnowflakeConnectorPushTime": T0_MS + minute * 60_000} for minute in range(6, 10)]
    land(warehouse, *((metadata | change, content) for change in pushed))
    new = record(2, "order_paid", "2026-03-02T11:01:00Z", pushed_ms=T0_MS + 600_000)
    land(warehouse, new, ({"topic": "orders", "partition": 9, "offset": 3}, new[1]))
    warehouse.dbt.build("tag:streaming", "2026-03-02T12:15:00Z", load_step_records=2)
    assert _order(warehouse)["event_count"] == "3"


def test_records_rebuilt_alone_leave_the_orders_right(warehouse: Warehouse) -> None:
    orders = "select order_id, event_count, latest_event_key, amount from ANALYTICS.FCT_ORDERS order by order_id"
    before = warehouse.sql(orders)
    warehouse.dbt._invoke("run", "--select", "order_event_records", "--full-refresh", as_of="2026-03-02T12:05:00Z")
    warehouse.transform("2026-03-02T12:10:00Z")
    assert warehouse.sql(orders) == before


def test_a_backfill_finds_what_no_run_does_and_says_so(warehouse: Warehouse) -> None:
    old = T0_MS - DAY_MS
    land(
        warehouse,
        record(1, "order_created", "2026-03-01T11:59:00Z", pushed_ms=old),
        record(2, "order_paid", "2026-03-01T12:01:00Z", pushed_ms=old + 60_000),
        record(3, "order_created", "not a time", pushed_ms=old + 60_000),
    )
    warehouse.transform("2026-03-02T12:05:00Z")
    assert warehouse.sql("select count(*) from ANALYTICS.FCT_ORDERS where order_id = 'X1'") == [(0,)]
    span = ("2026-03-01T11:00:00Z", "2026-03-02T11:00:00Z", "2026-03-02T12:10:00Z")
    days = list(steps.backfill(*span))
    assert [(d["first_at"], d["last_at"]) for d in days] == [
        ("2026-03-01T11:00:00.000Z", "2026-03-02T00:00:00.000Z"),
        ("2026-03-02T00:00:00.000Z", "2026-03-02T11:00:00.000Z"),
    ]
    assert [(d["records"], d["rejected"], d["orders"]) for d in days] == [(3, 1, 1), (0, 0, 0)]
    assert (_order(warehouse)["order_status"], _order(warehouse)["event_count"]) == ("paid", "2")
    bucket = "select sum(record_count) from MONITORING.ORDER_EVENT_BUCKETS where partition = 9"
    assert warehouse.sql(bucket) == [(3,)]
    assert [d["records"] for d in steps.backfill(*span)] == [0, 0]


def test_a_backfill_says_what_it_cannot_do(warehouse: Warehouse) -> None:
    def backfill(*span: str) -> list[dict[str, Any]]:
        return list(steps.backfill(*span, "2026-03-02T12:10:00Z"))

    with pytest.raises(ValueError, match="from takes ISO 8601"):
        backfill("yesterday", T0)
    with pytest.raises(ValueError, match="to a later one"):
        backfill(T0, "2026-03-01T12:00:00Z")
    warehouse.sql("drop table MONITORING.RECORD_COMPLETENESS")
    with pytest.raises(DbtError, match="orchestration tick"):
        backfill("2026-03-01T12:00:00Z", T0)


def duckdb_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _land_as_columns(warehouse: Warehouse, *names: str) -> Dbt:
    """As version 4 of the connector lands: a column per field, and one of each of `names`. The project for that."""
    fields = ("event_id", "event_type", "event_ts", "order_id", "customer_id", "amount", "currency")
    columns = ", ".join(f"record_content['{field}']::varchar as {field}" for field in fields)
    warehouse.sql(
        f"create table main.raw as select record_metadata, {columns} from STREAMING.ORDER_EVENTS",
        *(f"alter table main.raw add column {duckdb_name(name)} varchar" for name in names),
        *(
            f"update main.raw set {duckdb_name(name)} = 'yes' where event_id = (select min(event_id) from main.raw)"
            for name in names
        ),
        "drop view ANALYTICS.STG_STREAMING__ORDER_EVENTS",
        "drop table STREAMING.ORDER_EVENTS",
        "create table STREAMING.ORDER_EVENTS as from main.raw",
    )
    dbt = Dbt()
    dbt._variables = {"payload_layout": "columns"}
    return dbt


def test_a_build_by_hand_of_the_columns_layout_has_no_error_and_skips_nothing(warehouse: Warehouse) -> None:
    """All models are downstream of the staging model: one unit test of it that fails skips them."""
    dbt = _land_as_columns(warehouse)
    select = ["resource_type:seed", "resource_type:model", "resource_type:unit_test,path:models/staging"]
    built = dbt._invoke("build", "--select", *select, "--indirect-selection", "empty", as_of=T0).result.results
    ended = {result.node.unique_id: str(result.status) for result in built}
    assert "pass" in ended.values()
    assert {node: status for node, status in ended.items() if status not in ("success", "pass")} == {}


def test_both_payload_layouts_give_the_same_rows(warehouse: Warehouse) -> None:
    # Producers choose the names.
    names = ("gift_wrap", "order", "a b", "it's", 'a"b', "giftWrap", "{{ 1 }}", "(select max(secret) from main.vault)")
    compared = {
        "FCT_ORDERS": "* exclude (loaded_at, load_id)",
        "FCT_ORDER_EVENTS": "* exclude (loaded_at, load_id)",
        "REJECTED_ORDER_EVENTS": "record_id, rejected_reason, landed_at",
    }
    warehouse.sql(
        *(
            f"create table main.{table} as select {columns} from ANALYTICS.{table}"
            for table, columns in compared.items()
        ),
    )
    dbt = _land_as_columns(warehouse, *names)
    dbt._invoke("run", "--select", "tag:streaming", "--full-refresh", as_of=T0)
    for table, columns in compared.items():
        rebuilt = f"(select {columns} from ANALYTICS.{table})"
        assert warehouse.sql(f"select count(*) from (from main.{table} except from {rebuilt})") == [(0,)], table
        assert warehouse.sql(f"select count(*) from (from {rebuilt} except from main.{table})") == [(0,)], table
    surprises = "select distinct unexpected from ANALYTICS.ORDER_EVENT_RECORDS where unexpected like 'field%'"
    (named,) = warehouse.sql(surprises)
    assert named[0].startswith(f"field {', '.join(sorted(name.lower() for name in names))}")

    # The connector adds a column while the scheduler runs.
    warehouse.sql(
        "alter table STREAMING.ORDER_EVENTS add column gift_note varchar",
        f"""insert into STREAMING.ORDER_EVENTS by name
        select {literal(record(1, "order_paid", T0)[0])}::variant as record_metadata, 'x1' as event_id,
            'order_paid' as event_type, '{T0}' as event_ts, 'X1' as order_id, 'Hello' as gift_note""",
    )
    dbt._invoke("run", "--select", "tag:streaming", as_of="2026-03-02T12:05:00Z")
    assert ("field gift_note",) in warehouse.sql(surprises)


def test_what_nobody_expected_is_named(warehouse: Warehouse) -> None:
    land(
        warehouse,
        record(1, "order_created", "2026-03-02T11:00:00Z", currency="XAU", gift_wrap="yes", a="b"),
        record(2, "order_teleported", "2026-03-02T11:01:00Z", amount="12.5"),
        record(3, "order_paid", "2026-03-02T11:02:00Z"),
    )
    warehouse.transform("2026-03-02T12:05:00Z")
    named = "select unexpected from ANALYTICS.ORDER_EVENT_RECORDS where partition = 9 order by kafka_offset"
    assert warehouse.sql(named) == [
        ("field a, gift_wrap; currency XAU",),
        ("type of amount text; event_type order_teleported",),
        (None,),
    ]
    warehouse.monitor("2026-03-02T12:10:00Z")
    quality = "select unexpected_records, unexpected_kinds from MONITORING.RECORD_QUALITY where evaluated_at = "
    assert warehouse.sql(quality + "'2026-03-02 12:10'") == [(2, 2)]


def test_a_late_event_changes_its_order_as_if_it_had_come_in_time(warehouse: Warehouse) -> None:
    land(
        warehouse,
        record(1, "order_created", "2026-02-20T10:00:00Z"),
        record(3, "order_shipped", "2026-02-22T10:00:00Z"),
    )
    warehouse.transform("2026-03-02T12:05:00Z")
    # Eight days late by event time, and behind in event order: but it arrives now, and that is what counts.
    land(warehouse, record(4, "order_paid", "2026-02-20T12:00:00+02:00", pushed_ms=T0_MS + 400_000, amount=99))
    warehouse.transform("2026-03-02T12:10:00Z")
    assert _order(warehouse) == {
        "order_status": "shipped",
        "latest_event_type": "order_shipped",
        "event_count": "3",
        "first_event_at": "2026-02-20 10:00:00",
        "last_event_at": "2026-02-22 10:00:00",
        "amount": "12.50",
        "latest_offset": "3",
    }


def test_equal_event_times_are_decided_by_the_offset(warehouse: Warehouse) -> None:
    land(warehouse, record(8, "order_paid", "2026-03-02T11:00:00Z"), record(7, "order_created", "2026-03-02T11:00:00Z"))
    warehouse.transform("2026-03-02T12:05:00Z")
    assert _order(warehouse)["order_status"] == "paid"


def test_a_recreated_topic_is_no_replay(warehouse: Warehouse) -> None:
    land(warehouse, record(1, "order_created", "2026-03-02T11:00:00Z"))
    warehouse.transform("2026-03-02T12:05:00Z")
    land(warehouse, record(1, "order_paid", "2026-03-02T11:30:00Z", pushed_ms=T0_MS + 400_000))
    warehouse.transform("2026-03-02T12:10:00Z")
    assert (_order(warehouse)["order_status"], _order(warehouse)["event_count"]) == ("paid", "2")


def test_records_without_metadata_are_found_and_found_once(warehouse: Warehouse) -> None:
    _, content = record(1, "order_created", "2026-03-02T11:00:00Z")
    append_time_only = {"topic": "orders", "partition": 9, "offset": 5, "LogAppendTime": T0_MS - 10 * DAY_MS}
    land(
        warehouse,
        (None, content),
        (None, None),
        (
            append_time_only,
            content | {"event_id": "x5", "event_type": "order_paid", "event_ts": "2026-03-02T11:05:00Z"},
        ),
    )
    for minute in (5, 10):
        warehouse.transform(f"2026-03-02T12:{minute:02}:00Z")
    assert (_order(warehouse)["order_status"], _order(warehouse)["event_count"]) == ("paid", "2")
    assert warehouse.sql("select count(*) from ANALYTICS.REJECTED_ORDER_EVENTS where record_id like 'content/%'") == [
        (1,)
    ]


def test_a_minute_with_a_record_of_the_future_does_not_move_the_buckets(warehouse: Warehouse) -> None:
    at = T0_MS + 5 * 60_000
    land(
        warehouse,
        record(1, "order_created", T0, pushed_ms=at - 60_000),
        # Ahead of the run by a millisecond, in the minute that the run is in.
        record(2, "order_paid", T0, pushed_ms=at + 1),
    )
    warehouse.monitor("2026-03-02T12:05:00Z")
    # As late as the window allows, behind the newest record that is no record of the future.
    edge = "2026-03-02 11:04:00"
    counted = (
        "select sum(record_count) from MONITORING.ORDER_EVENT_BUCKETS "
        f"where partition = 9 and bucket_start = timestamp '{edge}'"
    )
    land(warehouse, record(3, "order_shipped", T0, pushed_ms=at - 61 * 60_000))
    warehouse.monitor("2026-03-02T12:06:00Z")
    assert warehouse.sql(counted) == [(1,)]


def test_a_record_from_the_future_does_not_move_the_window(warehouse: Warehouse) -> None:
    land(warehouse, record(1, "order_created", "2026-03-02T11:00:00Z", pushed_ms=T0_MS + 300 * DAY_MS))
    warehouse.transform("2026-03-02T12:05:00Z")
    land(warehouse, record(2, "order_paid", "2026-03-02T11:30:00Z", pushed_ms=T0_MS + 400_000))
    warehouse.transform("2026-03-02T12:10:00Z")
    assert _order(warehouse)["event_count"] == "2"


def test_what_no_one_expected_is_kept(warehouse: Warehouse) -> None:
    land(
        warehouse,
        record(1, "order_created", "2026-03-02T11:00:00Z", currency="XAU", gift_wrap="yes"),
        record(2, "order_teleported", "2026-03-02T11:01:00Z"),
    )
    warehouse.transform("2026-03-02T12:05:00Z")
    assert (_order(warehouse)["order_status"], _order(warehouse)["event_count"]) == ("unknown", "2")


def test_orders_catch_up_after_a_run_that_ended_between_the_models(warehouse: Warehouse) -> None:
    land(warehouse, record(1, "order_created", "2026-03-02T11:00:00Z"))
    warehouse.dbt._invoke("run", "--select", "order_event_records", as_of="2026-03-02T12:05:00Z")
    land(warehouse, record(2, "order_created", "2026-03-02T11:00:00Z", order_id="X2", pushed_ms=T0_MS + 300_000))
    warehouse.transform("2026-03-02T12:10:00Z")
    assert _order(warehouse, "X1")["event_count"] == _order(warehouse, "X2")["event_count"] == "1"


def test_a_missed_run_loses_nothing_and_a_caught_up_one_does_nothing(warehouse: Warehouse) -> None:
    warehouse.produce("2026-03-02T20:00:00Z")
    warehouse.transform("2026-03-02T20:00:00Z")
    loads = warehouse.sql("select max(load_id), count(*) from ANALYTICS.ORDER_EVENT_RECORDS")
    warehouse.transform("2026-03-02T20:05:00Z")
    assert warehouse.sql("select max(load_id), count(*) from ANALYTICS.ORDER_EVENT_RECORDS") == loads
    assert warehouse.dbt.query("{{ pending_records() }}", T0)[0]["pending"] == 0


def test_no_payload_stops_the_stream(warehouse: Warehouse) -> None:
    hostile = ["2026-01-01 (BC)", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "infinity", "9" * 40, ""]
    records = [record(n, "order_created", text, order_id=f"H{n}") for n, text in enumerate(hostile, start=10)]
    records += [record(30, "order_created", "2026-03-02T11:00:00Z", order_id="H30", amount={"a": 1})]
    records += [record(31, "order_created", "2026-03-02T11:00:00Z", order_id="H31", amount=1e300)]
    records += [record(32, "order_created", "2026-03-02T11:00:00Z", order_id="it's \\ fine; --")]
    land(warehouse, *records)
    for minute in (5, 10):
        warehouse.transform(f"2026-03-02T12:{minute:02}:00Z")
    reasons = """
        select rejected_reason, count(*) from ANALYTICS.REJECTED_ORDER_EVENTS where partition = 9 group by 1 order by 1
    """
    assert warehouse.sql(reasons) == [("invalid_amount", 2), ("invalid_event_ts", len(hostile))]
    assert warehouse.sql("select count(*) from ANALYTICS.FCT_ORDERS where order_id like 'it%'") == [(1,)]


def test_no_metadata_stops_the_monitor_or_the_stream(warehouse: Warehouse) -> None:
    metadata, content = record(1, "order_created", "2026-03-02T11:00:00Z")
    odd: list[dict[str, Any]] = [
        {"offset": "abc"}, {"offset": 10**19}, {"partition": {"a": 0}}, {"partition": 10**11, "offset": 2},
        {"CreateTime": -(2**63)}, {"CreateTime": 2**63 - 1}, {"SnowflakeConnectorPushTime": 2**63 - 1},
    ]  # fmt: skip
    land(warehouse, *((metadata | change, content | {"event_id": f"odd{n}"}) for n, change in enumerate(odd)))
    for as_of in ("2026-03-02T12:05:00Z", "2026-03-02T15:05:00Z", "2026-03-02T18:05:00Z"):
        warehouse.transform(as_of)
        assert {name for name, status in warehouse.monitor(as_of).items() if status in ("error", "skipped")} == set()
    assert _order(warehouse)["event_count"] == str(len(odd))


def test_orders_that_a_failed_run_left_behind_are_pending_and_come_with_the_next(warehouse: Warehouse) -> None:
    land(warehouse, record(1, "order_created", "2026-03-02T11:00:00Z"))
    warehouse.dbt._invoke("run", "--select", "order_event_records", as_of="2026-03-02T12:05:00Z")
    pending = "{{ pending_records() }}"
    assert warehouse.dbt.query(pending, "2026-03-02T12:06:00Z") == [{"pending": 1, "is_partial": False}]
    assert warehouse.firing("2026-03-02T12:30:00Z")["transform_behind"] == "warn"
    warehouse.transform("2026-03-02T12:30:00Z")
    assert warehouse.dbt.query(pending, "2026-03-02T12:31:00Z") == [{"pending": 0, "is_partial": False}]
    assert _order(warehouse)["event_count"] == "1"


def test_a_fold_that_is_repeated_adds_nothing(warehouse: Warehouse) -> None:
    """As when a statement is sent again, or two runs overlap: the second was compiled before the first had ended."""
    land(warehouse, record(1, "order_created", "2026-03-02T11:00:00Z"))
    warehouse.dbt._invoke("run", "--select", "order_event_records", as_of="2026-03-02T12:05:00Z")
    compiled = warehouse.dbt._invoke("compile", "--select", "fct_orders", as_of="2026-03-02T12:05:00Z")
    warehouse.dbt._invoke("run", "--select", "fct_orders", as_of="2026-03-02T12:05:00Z")
    again = f"select order_id, event_count, load_id from ({compiled.result.results[0].node.compiled_code}) as again"
    once = "select order_id, event_count, load_id from ANALYTICS.FCT_ORDERS where order_id = 'X1'"
    assert warehouse.sql(again) == warehouse.sql(once)
