"""Batch meets stream: the daily figures come from the events once more, and agree with the orders to the cent."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.python.warehouse import T0, T0_MS, Warehouse, land, record

SOON, LATER = "2026-03-02T12:05:00Z", "2026-03-02T12:10:00Z"
LATER_MS = T0_MS + 400_000
DAYS = ["2026-02-27", "2026-02-28", "2026-03-01"]
DAILY = ["orders_daily", "customers_daily"]
RECONCILIATION = "daily_orders_reconcile"


def _batch(warehouse: Warehouse, as_of: str = T0, select: str = "tag:batch") -> dict[str, str]:
    """Builds and tests the batch; returns the status of what was not well."""
    return {o.name: o.status for o in warehouse.dbt.build(select, as_of) if o.is_problem}


@pytest.fixture(scope="module")
def built_file(base_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("built") / "warehouse.duckdb"
    shutil.copy(base_warehouse, file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMING_OPS_DUCKDB_PATH", str(file))
        warehouse = Warehouse(file)
        assert _batch(warehouse) == {}
        # dbt may have the file open still: what is to be copied has to be in it.
        warehouse.sql("force checkpoint")
    return file


@pytest.fixture
def built(warehouse: Warehouse, built_file: Path) -> Warehouse:
    """The warehouse with its closed days built."""
    shutil.copy(built_file, warehouse.file)
    return warehouse


def _pending(warehouse: Warehouse, as_of: str = T0) -> int:
    return int(warehouse.dbt.query("{{ pending_days() }}", as_of)[0]["pending"])


def _days_to_rebuild(warehouse: Warehouse, table: str = "orders_daily", as_of: str = T0) -> list[str]:
    days = f"select '{{{{ days_to_rebuild(load_relation(ref('{table}'))).days | join(' ') }}}}' as days"
    return warehouse.dbt.query(days, as_of)[0]["days"].split()


def _stored(warehouse: Warehouse) -> dict[str, dict[str, list[Any]]]:
    """Each table's rows by day, with a number that a row gets here: rows that were written again get another. DuckDB's
    own number of a row changes with a checkpoint."""
    stored: dict[str, dict[str, list[Any]]] = {}
    for table in DAILY:
        days = stored.setdefault(table, {})
        rows = warehouse.sql(
            f"alter table ANALYTICS.{table} add column if not exists written integer",
            f"update ANALYTICS.{table} set written = 1 + (select coalesce(max(written), 0) from ANALYTICS.{table}) "
            "where written is null",
            f"select order_date::varchar, * from ANALYTICS.{table} order by all",
        )
        for day, *row in rows:
            days.setdefault(day, []).append(row)
    return stored


def _untouched(before: dict[str, dict[str, list[Any]]], after: dict[str, dict[str, list[Any]]]) -> list[list[str]]:
    return [[day for day, rows in after[table].items() if rows == before[table].get(day)] for table in DAILY]


def _figures(warehouse: Warehouse, day: str, table: str = "orders_daily") -> tuple[Any, ...]:
    """Orders, events, cents."""
    return warehouse.sql(
        f"""
        select sum(orders)::int, sum(event_count)::int, (sum(amount) * 100)::bigint
        from ANALYTICS.{table} where order_date = '{day}'
        """
    )[0]


def test_the_first_build_has_every_closed_day_as_the_orders_have_it(warehouse: Warehouse) -> None:
    assert _pending(warehouse) == len(DAYS)
    assert _batch(warehouse) == {}
    assert _pending(warehouse) == 0
    orders = """
        select
            first_event_at::date, currency, count(*), count(*) filter (order_status = 'paid'),
            count(*) filter (order_status = 'cancelled'), sum(event_count), sum(amount),
            coalesce(sum(amount) filter (order_status = 'cancelled'), 0)
        from ANALYTICS.FCT_ORDERS where first_event_at < '2026-03-02' group by all order by 1, 2
    """
    columns = "order_date, currency, orders, paid_orders, cancelled_orders, event_count, amount, cancelled_amount"
    assert warehouse.sql(f"select {columns} from ANALYTICS.ORDERS_DAILY order by 1, 2") == warehouse.sql(orders)
    assert list(_stored(warehouse)["orders_daily"]) == list(_stored(warehouse)["customers_daily"]) == DAYS
    segments = """
        select bool_and((daily.segment = '(unknown)') = (customers.customer_id is null)), count(distinct daily.segment)
        from ANALYTICS.CUSTOMERS_DAILY as daily
        left join ANALYTICS.CUSTOMERS as customers using (customer_id)
    """
    assert warehouse.sql(segments) == [(True, 4)]


def test_a_second_run_does_nothing(built: Warehouse) -> None:
    before = _stored(built)
    assert [_days_to_rebuild(built, table) for table in DAILY] == [[], []]
    assert _batch(built, SOON) == {}
    assert _stored(built) == before


def test_a_day_closes_at_midnight_utc(built: Warehouse) -> None:
    assert _pending(built, "2026-03-02T23:59:59Z") == 0
    assert _pending(built, "2026-03-03T01:00:00+02:00") == 0
    assert _pending(built, "2026-03-03T00:00:00Z") == 1
    assert _batch(built, "2026-03-03T00:00:00Z") == {}
    before = _stored(built)
    assert list(before["orders_daily"]) == list(before["customers_daily"]) == [*DAYS, "2026-03-02"]
    # A run that looks at the past leaves the days alone that were open then.
    assert _batch(built) == {}
    assert _stored(built) == before


def test_a_late_event_rebuilds_its_own_day_only(built: Warehouse) -> None:
    land(built, record(1, "order_created", "2026-02-28T10:00:00Z"))
    built.transform(SOON)
    _batch(built, SOON)
    before, figures = _stored(built), _figures(built, "2026-02-28")
    # The order goes on today, but it belongs to the day on which it began.
    late = {"pushed_ms": LATER_MS, "amount": 10.01}
    land(built, record(2, "order_cancelled", "2026-03-02T11:00:00Z", **late))
    built.transform(LATER)
    assert [_days_to_rebuild(built, table, LATER) for table in DAILY] == [["2026-02-28"]] * 2
    assert _pending(built, LATER) == 1
    assert _batch(built, LATER) == {}
    assert _untouched(before, _stored(built)) == [["2026-02-27", "2026-03-01"]] * 2
    assert _figures(built, "2026-02-28") == (figures[0], figures[1] + 1, figures[2] - 249)
    assert _figures(built, "2026-02-28", "customers_daily") == _figures(built, "2026-02-28")


def test_an_order_that_began_earlier_than_known_changes_both_days(built: Warehouse) -> None:
    land(built, record(1, "order_paid", "2026-03-01T00:10:00Z"))
    built.transform(SOON)
    _batch(built, SOON)
    before = _stored(built)
    earlier, later = _figures(built, "2026-02-28"), _figures(built, "2026-03-01")
    land(built, record(2, "order_created", "2026-02-28T23:50:00Z", pushed_ms=LATER_MS))
    built.transform(LATER)
    # The day that lost the order has no newer load, but it is not judged before it is rebuilt either.
    assert _batch(built, LATER, "daily_reconciliation") == {}
    assert _days_to_rebuild(built, as_of=LATER) == ["2026-02-28", "2026-03-01"]
    assert _batch(built, LATER) == {}
    assert _untouched(before, _stored(built)) == [["2026-02-27"]] * 2
    assert _figures(built, "2026-02-28") == (earlier[0] + 1, earlier[1] + 2, earlier[2] + 1250)
    assert _figures(built, "2026-03-01") == (later[0] - 1, later[1] - 1, later[2] - 1250)
    assert _pending(built, LATER) == 0


def test_an_exchange_that_leaves_the_totals_as_they_were_is_noticed(built: Warehouse) -> None:
    leaves, comes = {"order_id": "X1", "customer_id": "C1"}, {"order_id": "X2", "customer_id": "C2"}
    land(
        built,
        record(1, "order_created", "2026-03-01T10:00:00Z", **leaves),
        record(2, "order_paid", "2026-03-01T11:00:00Z", **leaves),
        record(3, "order_paid", "2026-03-02T10:00:00Z", **comes),
    )
    built.transform(SOON)
    _batch(built, SOON)
    customers = """
        select sum(orders) filter (customer_id = 'C1')::int, sum(orders) filter (customer_id = 'C2')::int
        from ANALYTICS.CUSTOMERS_DAILY where order_date = '2026-03-01'
    """
    figures, [(c1, c2)] = _figures(built, "2026-03-01"), built.sql(customers)
    land(
        built,
        record(4, "order_created", "2026-02-28T10:00:00Z", pushed_ms=LATER_MS, **leaves),
        record(5, "order_created", "2026-03-01T10:00:00Z", pushed_ms=LATER_MS, **comes),
    )
    built.transform(LATER)
    assert _batch(built, LATER) == {}
    assert _figures(built, "2026-03-01") == figures
    assert built.sql(customers) == [(c1 - 1, c2 + 1)]


def test_a_day_that_no_order_is_left_in_is_deleted(built: Warehouse) -> None:
    land(built, record(1, "order_paid", "2026-02-20T00:10:00Z"))
    built.transform(SOON)
    _batch(built, SOON)
    assert "2026-02-20" in _stored(built)["orders_daily"] and "2026-02-20" in _stored(built)["customers_daily"]
    before = _stored(built)
    land(built, record(2, "order_created", "2026-02-19T23:50:00Z", pushed_ms=LATER_MS))
    built.transform(LATER)
    assert [_days_to_rebuild(built, table, LATER) for table in DAILY] == [["2026-02-19", "2026-02-20"]] * 2
    assert _batch(built, LATER) == {}
    after = _stored(built)
    assert list(after["orders_daily"]) == list(after["customers_daily"]) == ["2026-02-19", *DAYS]
    assert _untouched(before, after) == [DAYS] * 2
    assert _pending(built, LATER) == 0


def test_a_catch_up_goes_on_where_the_last_run_ended(built: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    for table in DAILY:
        built.sql(f"create table main.{table} as from ANALYTICS.{table}", f"drop table ANALYTICS.{table}")
    monkeypatch.setitem(built.dbt._variables, "batch_days", 1)
    for done in range(len(DAYS)):
        assert _pending(built) == len(DAYS) - done
        assert _batch(built) == {}
        days = built.sql("select distinct order_date::varchar from ANALYTICS.CUSTOMERS_DAILY order by 1")
        assert [day for (day,) in days] == DAYS[: done + 1]
    assert _pending(built) == 0
    for table in DAILY:
        assert built.sql(f"from main.{table} except all from ANALYTICS.{table}") == []
        assert built.sql(f"from ANALYTICS.{table} except all from main.{table}") == []


def test_the_customers_catch_up_after_a_run_that_ended_between_the_models(built: Warehouse) -> None:
    land(built, record(1, "order_created", "2026-02-28T10:00:00Z"))
    built.transform(SOON)
    built.dbt._invoke("run", "--select", "orders_daily", as_of=SOON)
    before = _stored(built)
    assert [_days_to_rebuild(built, table, SOON) for table in DAILY] == [[], ["2026-02-28"]]
    assert _pending(built, SOON) == 1
    assert _batch(built, LATER) == {}
    assert _untouched(before, _stored(built)) == [DAYS, ["2026-02-27", "2026-03-01"]]
    assert _figures(built, "2026-02-28") == _figures(built, "2026-02-28", "customers_daily")


def test_the_batch_does_not_run_ahead_of_the_stream(built: Warehouse) -> None:
    figures = _figures(built, "2026-02-28")
    land(built, record(1, "order_created", "2026-02-28T10:00:00Z"))
    built.transform(SOON)
    # This one is loaded, and not in the orders yet.
    land(built, record(2, "order_created", "2026-02-28T10:00:00Z", order_id="X2", pushed_ms=LATER_MS))
    built.dbt._invoke("run", "--select", "order_event_records", as_of=LATER)
    assert _batch(built, LATER) == {}
    assert _figures(built, "2026-02-28") == (figures[0] + 1, figures[1] + 1, figures[2] + 1250)
    assert _pending(built, LATER) == 0


@pytest.mark.parametrize("table", [*DAILY, "fct_orders"])
def test_a_cent_is_enough_to_fail(built: Warehouse, table: str) -> None:
    day = "order_date" if table in DAILY else "first_event_at::date"
    some_row = f"select min(rowid) from ANALYTICS.{table} where {day} = '2026-02-28' and currency = 'EUR'"
    add = f"update ANALYTICS.{table} set amount = amount + {{}} where rowid = ({some_row})"
    built.sql(add.format(0.01))
    assert _batch(built, SOON, "daily_reconciliation") == {RECONCILIATION: "fail"}
    failing = f"""
        select order_date::varchar, currency, found_in, expected_in, ((amount - expected_amount) * 100)::int
        from MONITORING.{RECONCILIATION} order by found_in
    """
    expected = {
        "orders_daily": [("customers_daily", "orders_daily", -1), ("orders_daily", "fct_orders", 1)],
        "customers_daily": [("customers_daily", "orders_daily", 1)],
        "fct_orders": [("orders_daily", "fct_orders", -1)],
    }[table]
    assert built.sql(failing) == [("2026-02-28", "EUR", *row) for row in expected]
    if table == "fct_orders":
        # The stream is wrong: the batch computes the right figures again, and the test goes on failing.
        assert _batch(built, SOON) == {RECONCILIATION: "fail"}
        built.sql(add.format(-0.01))
    assert _batch(built, LATER) == {}
    assert _pending(built, LATER) == 0
