"""A tick reads what is new: DuckDB's profiler counts the rows that each statement scans, whatever time it takes."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from bench import bench
from tests.python.warehouse import T0

ROW_GROUP = 122_880  # of a row group that is not skipped all rows count
RECORDS, GAP_MS = 650_000, 660
YESTERDAY = 160_000  # records: what is loaded before is not looked at again by the tests of a tick
GROWING = ("streaming.order_events", "analytics.order_event_records", "analytics.fct_orders")

# Five days of orders with one event each: more than five row groups of records and of orders.
_LAND = """
    insert into STREAMING.ORDER_EVENTS
    select
        {{
            'topic': 'orders', 'partition': (n % 6)::integer, 'offset': n // 6, 'CreateTime': created_ms,
            'SnowflakeConnectorPushTime': greatest(created_ms, {pushed_from}) + 2000
        }}::variant,
        {{
            'event_id': 'E' || n, 'event_type': 'order_created', 'order_id': 'O' || (10000000 + n),
            'event_ts': strftime(make_timestamp(created_ms * 1000), '%Y-%m-%dT%H:%M:%S.%gZ'),
            'customer_id': 'C1', 'amount': 12.5, 'currency': 'EUR'
        }}::variant
    from (
        select n, epoch_ms(timestamp '{t0}') + (n - {records}) * {gap_ms} as created_ms
        from range({first}, {last}) as r (n)
    )
"""


def _land(file: Path, first: int, last: int, pushed_from: int = 0) -> None:
    with duckdb.connect(file) as connection:
        connection.execute(
            _LAND.format(t0=T0[:-1], records=RECORDS, gap_ms=GAP_MS, first=first, last=last, pushed_from=pushed_from)
        )


def test_no_statement_of_a_tick_scans_a_table_that_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _environment: None
) -> None:
    file, before = tmp_path / "warehouse.duckdb", tmp_path / "before" / "warehouse.duckdb"
    before.parent.mkdir()
    monkeypatch.setenv("STREAMING_OPS_DUCKDB_PATH", str(file))
    now = datetime.fromisoformat(T0).astimezone(UTC)
    later = now + timedelta(minutes=5)
    with bench.process() as worker:
        worker.submit(bench.begin, now - timedelta(days=5)).result()
        for first, last in ((0, RECORDS - YESTERDAY), (RECORDS - YESTERDAY, RECORDS)):
            _land(file, first, last)
            worker.submit(bench.transform, now - timedelta(milliseconds=(RECORDS - last) * GAP_MS)).result()
        worker.submit(bench.tick, now).result()
        pushed_ms = int(later.timestamp() * 1000) - 60_000
        _land(file, RECORDS, RECORDS + 450)
        # A copy from the first day, and an old order that goes on: neither opens the days between.
        _land(file, 77, 78, pushed_ms)
        with duckdb.connect(file) as connection:
            connection.execute(
                """
                insert into STREAMING.ORDER_EVENTS select
                    {'topic': 'orders', 'partition': 0, 'offset': 1000000, 'CreateTime': $1::bigint,
                     'SnowflakeConnectorPushTime': $1::bigint + 2000}::variant,
                    {'event_id': 'late', 'event_type': 'order_paid', 'order_id': 'O10000042',
                     'event_ts': '2026-02-26T10:00:00Z'}::variant
                """,
                [pushed_ms],
            )
        shutil.copy(file, before)
        _, sent, settings = worker.submit(bench.tick, later).result()

    with duckdb.connect(file) as connection:
        old_order = "select event_count, order_status, amount from ANALYTICS.FCT_ORDERS where order_id = 'O10000042'"
        assert connection.execute(old_order).fetchall()[0][:2] == (2, "paid")
        count = connection.execute("select count(*), count(distinct record_id) from ANALYTICS.ORDER_EVENT_RECORDS")
        assert count.fetchall() == [(RECORDS + 451, RECORDS + 451)]
        for table in GROWING:
            assert connection.execute(f"select count(*) from {table}").fetchall()[0][0] > 5 * ROW_GROUP

    scanned = [
        (rows, table, phase, node)
        for phase, node, cursor in bench.executed(before, sent, f"{settings} pragma enable_profiling = 'no_output'")
        for table, rows in bench.rows_scanned(json.loads(cursor.get_profiling_information("json"))).items()
        if table in GROWING
    ]
    assert {table for _, table, _, _ in scanned} == set(GROWING)
    assert [scan for scan in sorted(scanned, reverse=True) if scan[0] > 3 * ROW_GROUP] == []
