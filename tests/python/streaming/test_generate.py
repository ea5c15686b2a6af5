"""The generated stream is a function of its seed, however it is cut, and has the connector's shape."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestration import __main__ as command_line
from tests.python.warehouse import T0, Warehouse

RECORDS = """
    select distinct
        record_metadata['partition']::int, record_metadata['offset']::bigint, record_metadata['CreateTime']::bigint,
        record_metadata['key']::varchar, record_content::varchar
    from STREAMING.ORDER_EVENTS
    where record_metadata['CreateTime']::bigint > epoch_ms(timestamp '2026-03-02 11:00:00')
    order by all
"""


def _fork(warehouse: Warehouse, folder: Path, patch: pytest.MonkeyPatch) -> Warehouse:
    folder.mkdir()
    shutil.copy(warehouse.file, folder / "warehouse.duckdb")
    patch.setenv("STREAMING_OPS_DUCKDB_PATH", str(folder / "warehouse.duckdb"))
    return Warehouse(folder / "warehouse.duckdb")


def test_the_same_seed_gives_the_same_stream_however_it_is_cut(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = _fork(warehouse, tmp_path / "other", monkeypatch)
    for until in ("2026-03-02T12:00:07Z", "2026-03-02T12:31:00Z", "2026-03-02T13:00:00Z"):
        other.produce(until, stalled_partition=3 if "12:31" in until else None)
    cut = other.sql(RECORDS)
    monkeypatch.setenv("STREAMING_OPS_DUCKDB_PATH", str(warehouse.file))
    warehouse.produce("2026-03-02T13:00:00Z")
    assert warehouse.sql(RECORDS) == cut
    assert len(cut) > 3000


def test_another_seed_gives_another_stream(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = _fork(warehouse, tmp_path / "other", monkeypatch)
    other.produce("2026-03-02T12:10:00Z", seed=2)
    records = other.sql(RECORDS)
    monkeypatch.setenv("STREAMING_OPS_DUCKDB_PATH", str(warehouse.file))
    warehouse.produce("2026-03-02T12:10:00Z")
    assert warehouse.sql(RECORDS) != records


def test_offsets_have_no_gap_and_an_order_stays_in_its_partition(warehouse: Warehouse) -> None:
    gaps = """
        select count(*) from (
            select max(record_metadata['offset']::bigint) + 1 - count(distinct record_metadata['offset']::bigint) as gap
            from STREAMING.ORDER_EVENTS group by record_metadata['partition']::int
        ) where gap <> 0
    """
    strays = """
        select count(*) from (
            select 1 from STREAMING.ORDER_EVENTS group by record_metadata['key']::varchar
            having count(distinct record_metadata['partition']::int) > 1
        )
    """
    assert warehouse.sql(gaps) == warehouse.sql(strays) == [(0,)]


def test_records_land_after_they_were_created_and_in_the_order_of_their_offsets(warehouse: Warehouse) -> None:
    order = """
        select count(*) from (
            select
                push - create_time as delay,
                push - lag(push) over (partition by partition order by kafka_offset) as step
            from (
                select
                    record_metadata['partition']::int as partition, record_metadata['offset']::bigint as kafka_offset,
                    record_metadata['CreateTime']::bigint as create_time,
                    min(record_metadata['SnowflakeConnectorPushTime']::bigint) as push
                from STREAMING.ORDER_EVENTS group by all
            )
        ) where delay <= 0 or delay > 60000 or step < 0
    """
    assert warehouse.sql(order) == [(0,)]


def test_a_stream_that_has_reached_its_end_lands_nothing(warehouse: Warehouse) -> None:
    landed = "select count(*) from STREAMING.ORDER_EVENTS"
    before = warehouse.sql(landed)
    for until in (T0, "2026-03-02T11:00:00Z"):
        warehouse.produce(until)
    assert warehouse.sql(landed) == before


def test_nothing_is_produced_for_the_future(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    @contextmanager
    def session(*_: Any, **__: Any) -> Iterator[Any]:
        yield SimpleNamespace(call=lambda step, until, **_: asked.append(until))

    monkeypatch.setattr(command_line, "session", session)
    command_line.produce(f"{datetime.now(UTC) + timedelta(minutes=4):%Y-%m-%dT%H:%M:%SZ}")
    assert asked[0] <= f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize(
    ("minutes_ago", "healthy_minutes_ago"), [(None, 12), (30, 12), (22, 12), (21, None), (0, None), (-10, None)]
)
def test_a_demo_has_a_healthy_stretch_where_there_is_time(
    minutes_ago: int | None, healthy_minutes_ago: int | None
) -> None:
    now = datetime(2026, 3, 2, 12)
    last, healthy_at = (
        None if ago is None else now - timedelta(minutes=ago) for ago in (minutes_ago, healthy_minutes_ago)
    )
    assert command_line._healthy_at(last, now) == healthy_at
