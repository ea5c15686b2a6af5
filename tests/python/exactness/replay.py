"""Replays histories through real dbt, in processes that can be killed, and compares what comes of them.

A fork server holds dbt with the project parsed; a child of it has the DuckDB file open, or sessions on the Snowflake on
loopback. What a killed child leaves is what the next one finds: nothing is copied, nothing is mended.
"""

import contextlib
import json
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.python.exactness.histories import (
    DAY,
    MINUTE,
    Delivery,
    History,
    Record,
    Step,
    expected_buckets,
    expected_orders,
    instant,
    iso,
)
from tests.python.forks import FORKS
from tests.python.snowflake import emulator

ACTIONS = {
    "tick": ("run", "tag:streaming", "order_event_buckets"),
    "in one go": ("run", "tag:streaming", "tag:batch"),
    "batch": ("run", "tag:batch"),
    "load": ("run", "order_event_records"),
    "orders": ("run", "fct_orders"),
    "buckets": ("run", "order_event_buckets"),
    "backfill": ("run", "tag:streaming", "order_event_buckets"),
    "rebuild": ("run", "tag:streaming", "order_event_buckets", "--full-refresh"),
    "rebuild records": ("run", "order_event_records", "--full-refresh"),
    "rebuild orders": ("run", "fct_orders", "--full-refresh"),
}
# What says how a row was loaded, and not what happened: it may differ.
BOOKKEEPING = {"loaded_at", "load_id", "first_load_id", "built_load_id", "counted_at"}
# What else a model may differ in, by its name.
EXCLUDED: dict[str, set[str]] = {}
LOADS = ("order_event_records", "order_event_buckets")
# Of a record that was delivered more than once these are any one delivery's.
OF_A_DELIVERY = {"pushed_at", "landed_at", "is_dated", "rejected_metadata", "record_metadata"}
# About so many statements does a run have, until one was seen: among them is the one that it is killed at.
STATEMENTS = {"tick": 76, "rebuild": 76, "backfill": 76, "nightly": 60, "catch up": 130}
INSERT = {
    "local": ("values ", "(?::json::variant, ?::json::variant)"),
    "snowflake": ("select parse_json(column1), parse_json(column2) from values ", "(%s, %s)"),
}

Rows = list[dict[str, Any]]


# --- in the child -------------------------------------------------------------------------------------------------


def _serve(file: str, pipe: Connection) -> None:
    """Does what comes through the pipe, until it is closed or this process is killed."""
    os.environ["STREAMING_OPS_DUCKDB_PATH"] = file
    while True:
        try:
            name, arguments = pipe.recv()
        except EOFError:
            os._exit(0)
        try:
            pipe.send((True, globals()[f"_do_{name}"](file, *arguments)))
        except Exception as error:
            pipe.send((False, f"{type(error).__name__}: {error}"))


def _target() -> str:
    return os.environ.get("DBT_TARGET", "local")


def _connect(file: str) -> Any:
    """A connection of our own: of either engine, only cursor() and close() of it are used."""
    if _target() == "snowflake":
        return emulator.connect(int(os.environ["SNOWFLAKE_PORT"]))
    import duckdb

    from tests.python.warm import DBT

    # A process attaches a file once.
    DBT.close()
    connection = duckdb.connect(file)
    connection.execute("set timezone = 'UTC'; set disabled_optimizers = 'statistics_propagation'")
    return connection


def _cursor_class() -> Any:
    """What dbt executes each of its statements with."""
    if _target() == "snowflake":
        from snowflake.connector.cursor import SnowflakeCursor

        return SnowflakeCursor
    from dbt.adapters.duckdb.environments.local import DuckDBCursorWrapper

    return DuckDBCursorWrapper


def _do_prepare(file: str) -> list[tuple[str, str]]:
    """Makes the landing tables, seeds and staging; returns schema and name of all models that are loaded."""
    from tests.python.warm import DBT

    as_of = "2026-03-02T00:00:00Z"
    DBT.run_operation("create_landing_tables", as_of)
    DBT._invoke("seed", as_of=as_of)
    assert DBT._invoke("run", "--select", "tag:staging", as_of=as_of).success
    models = [node for node in DBT._manifest.nodes.values() if node.resource_type == "model"]
    loaded = [node for node in models if {"streaming", "batch"} & set(node.tags) or node.name == "order_event_buckets"]
    return sorted((node.schema, node.name) for node in loaded)


def _do_checkpoint(file: str) -> None:
    """Now all is in the file, and it may be copied."""
    with _connect(file) as connection:
        connection.execute("checkpoint")


def _do_empty(file: str, has_begun: bool) -> None:
    """Snowflake has no file to copy: what runs have made is emptied, or where none `has_begun` dropped."""
    with _connect(file) as connection:
        cursor = connection.cursor()
        cursor.execute(
            """select table_schema || '.' || table_name from information_schema.tables
            where table_type = 'BASE TABLE' and table_schema in ('STREAMING', 'ANALYTICS', 'MONITORING')"""
        )
        seeds = {seed.stem.upper() for seed in emulator.PROJECT_DIR.glob("seeds/*.csv")}
        for (table,) in cursor.fetchall():
            schema, name = table.split(".")
            if name not in seeds:
                is_emptied = has_begun or schema == "STREAMING" or name in ("TEST_RESULTS", "NOTIFICATIONS")
                cursor.execute(f"{'delete from' if is_emptied else 'drop table'} {table}")


def _do_land(file: str, rows: list[tuple[str | None, str | None]], empty: bool = False) -> None:
    before, values = INSERT[_target()]
    with _connect(file) as connection:
        cursor = connection.cursor()
        if empty:
            cursor.execute("delete from STREAMING.ORDER_EVENTS")
        for start in range(0, len(rows), 500):
            some = rows[start : start + 500]
            insert = f"insert into STREAMING.ORDER_EVENTS {before}{', '.join([values] * len(some))}"
            cursor.execute(insert, [value for row in some for value in row])


def _do_run(
    file: str, action: str, as_of: str, variables: dict[str, Any], kill: tuple[str, int] | None = None
) -> tuple[int, Any]:
    """Runs `action`; returns its number of statements, and what it found. `kill`: before or after which statement."""
    from orchestration import steps
    from orchestration.outcomes import raise_if_broken
    from tests.python.warm import DBT

    cursor, count = _cursor_class(), 0
    execute = cursor.execute

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if kill == ("before", count):
            os.kill(os.getpid(), signal.SIGKILL)
        result = execute(self, *args, **kwargs)
        if kill == ("after", count):
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    DBT._variables = variables
    cursor.execute = counted
    try:
        if action == "catch up":
            raise_if_broken(steps.build("tag:streaming", as_of, "waiting_records"))
            DBT._invoke("run", "--select", "order_event_buckets", "record_completeness", as_of=as_of)
            found = DBT.query("{{ pending_records() }}", as_of)[0]["pending"]
        elif action == "nightly":
            found = raise_if_broken(steps.build("tag:batch", as_of, "pending_days", 0))
        else:
            command, *select = ACTIONS[action]
            # One thread where the number of a statement has to mean something.
            threads = ["--threads", "1"] if kill else []
            found = DBT._invoke(command, *threads, "--select", *select, as_of=as_of).success
        return count, found
    finally:
        cursor.execute = execute


def _do_dump(file: str, models: list[tuple[str, str]]) -> dict[str, Rows]:
    """Every row of the models, VARIANT as text."""
    tables: dict[str, Rows] = {}
    with _connect(file) as connection:
        cursor = connection.cursor()
        for schema, name in models:
            chosen = "*"
            if _target() == "local":
                columns = cursor.execute(f"describe {schema}.{name}").fetchall()
                chosen = ", ".join(f"{c[0]}{'::json::varchar' if c[1] == 'VARIANT' else ''} as {c[0]}" for c in columns)
            cursor.execute(f"select {chosen} from {schema}.{name}")
            names = [column[0].lower() for column in cursor.description]
            tables[name] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return tables


# --- in the test ---------------------------------------------------------------------------------------------------


class Killed(Exception):
    """The child was killed in the middle of what it did."""


class Warehouse:
    """A DuckDB file (on Snowflake its name says nothing), and the child that has it open: a new one after each kill."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._child: Any = None

    def do(self, name: str, *arguments: Any, kill_after: float | None = None) -> Any:
        if self._child is None:
            self._pipe, theirs = FORKS.Pipe()
            self._child = FORKS.Process(target=_serve, args=(str(self.file), theirs), daemon=True)
            self._child.start()
            theirs.close()
        self._pipe.send((name, arguments))
        try:
            if kill_after is not None and not self._pipe.poll(kill_after):
                self._child.kill()
                raise EOFError
            is_done, result = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            child = self._child
            self.close()
            if _target() == "snowflake":
                emulator.abort(int(os.environ["SNOWFLAKE_PORT"]))
            assert child.exitcode == -signal.SIGKILL, f"{name} {arguments}: ended by itself, {child.exitcode}"
            raise Killed from None
        if not is_done:
            raise AssertionError(f"{name} {arguments[0] if arguments else ''}: {result}")
        return result

    def close(self) -> None:
        if self._child is not None:
            self._pipe.close()
            self._child.join(30)
            self._child = None


@dataclass
class Counts:
    """What was tried, for the summary."""

    histories: int = 0
    records: int = 0
    deliveries: int = 0
    runs: int = 0
    kills: int = 0
    kills_timed: int = 0
    kills_missed: int = 0
    rebuilds: int = 0
    backfills: int = 0
    started: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        seconds = time.monotonic() - self.started
        return (
            f"{self.histories} histories in {seconds:.0f} s ({seconds / max(self.histories, 1):.1f} s each): "
            f"{self.records} records in {self.deliveries} deliveries, {self.runs} runs, {self.rebuilds} rebuilds, "
            f"{self.backfills} backfills; {self.kills} runs killed ({self.kills_timed} by the clock), "
            f"{self.kills_missed} ended before their kill"
        )


class Replay:
    """Replays histories, each in a new database."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.counts = Counts()
        self._seconds: dict[str, float] = {}
        self._statements = dict(STATEMENTS)
        (directory / "new").mkdir()
        new = Warehouse(directory / "new" / "warehouse.duckdb")
        self.models = new.do("prepare")
        if _target() == "local":
            new.do("checkpoint")
        new.close()
        begun = self._warehouse("begun", "new")
        begun.do("run", "tick", "2026-03-02T00:00:00Z", {})
        if _target() == "local":
            begun.do("checkpoint")
        begun.close()

    def _warehouse(self, name: str, template: str) -> Warehouse:
        """The file keeps its name: dbt's parsed project knows the database by it. Of Snowflake there is one."""
        if _target() == "snowflake":
            warehouse = Warehouse(self.directory / name)
            warehouse.do("empty", template == "begun")
            return warehouse
        folder = self.directory / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return Warehouse(Path(shutil.copy(self.directory / template / "warehouse.duckdb", folder)))

    def check(self, history: History) -> None:
        # The days of all that happened are closed then.
        as_of = history.steps[-1].as_of_ms + 2 * DAY
        variables = {
            "late_arrival_minutes": history.late_arrival_minutes,
            "completeness_hours": 24 * 365 * 60,
            "batch_days": 10_000,
        }
        # As the flows do it, the first load is of an empty stream.
        with contextlib.closing(self._warehouse("replayed", "begun")) as warehouse:
            replayed = self._replayed(history, warehouse, iso(as_of), variables)
        with contextlib.closing(self._warehouse("in_one_go", "new")) as warehouse:
            in_one_go = self._in_one_go(history, warehouse, iso(as_of), variables)

        for tables in (in_one_go, replayed):
            _check_oracle(history, tables)
            _check_days(history, tables, instant(as_of).date())
        for _, name in self.models:
            compare(name, replayed[name], in_one_go[name], history.records)
        # What was missing in an earlier evaluation may have come by a backfill since.
        evaluation = [row for row in replayed["record_completeness"] if row["evaluated_at"] == instant(as_of)]
        assert evaluation, "the last run proved nothing"
        missing = [row for row in evaluation if row["missing_records"] != 0]
        assert not missing, f"missing by record_completeness: {missing}"
        self.counts.histories += 1
        self.counts.records += len(history.records)
        self.counts.deliveries += len(history.deliveries)

    def _replayed(
        self, history: History, warehouse: Warehouse, as_of: str, variables: dict[str, Any]
    ) -> dict[str, Rows]:
        for step in history.steps:
            warehouse.do("land", [_row(delivery) for delivery in step.deliveries])
            self._step(warehouse, step, history)
        stepped = variables | {"load_step_records": max(history.steps[-1].load_step, 40)}
        self._catch_up(warehouse, as_of, stepped)
        found = warehouse.do("dump", [model for model in self.models if model[1] in LOADS])
        _check_promises(history, *(found[name] for name in LOADS))
        if spans := list(_spans(history)):
            for span in spans:
                self._run(warehouse, "backfill", as_of, stepped | span)
            self._catch_up(warehouse, as_of, stepped)
        self._run(warehouse, "batch", as_of, variables)
        return warehouse.do("dump", [*self.models, ("MONITORING", "record_completeness")])

    def _in_one_go(
        self, history: History, warehouse: Warehouse, as_of: str, variables: dict[str, Any]
    ) -> dict[str, Rows]:
        distinct = sorted(history.records.values(), key=lambda record: record.record_id)
        warehouse.do("land", [_row(record.deliveries[0]) for record in distinct])
        self._run(warehouse, "in one go", as_of, variables)
        warehouse.do("land", [_row(delivery) for delivery in history.deliveries], True)
        self._run(warehouse, "buckets", as_of, variables)
        return warehouse.do("dump", self.models)

    def _step(self, warehouse: Warehouse, step: Step, history: History) -> None:
        if step.action == "nothing":
            return
        variables: dict[str, Any] = {
            "late_arrival_minutes": history.late_arrival_minutes,
            # A minute at a time is for single runs: all of them would take minutes.
            "load_step_records": max(step.load_step, 12) if step.action == "catch up" else step.load_step,
        }
        if step.action == "backfill":
            variables |= {"backfill_from": iso(step.backfill[0]), "backfill_to": iso(step.backfill[1])}
        kill = (
            (step.kill, 1 + step.kill_at * self._statements.get(step.action, 30) // 100)
            if step.kill in ("before", "after")
            else None
        )
        seconds = self._seconds.get(step.action, 1.5) * step.kill_at / 100 if step.kill == "timed" else None
        try:
            self._run(warehouse, step.action, iso(step.as_of_ms), variables, kill, seconds)
            self.counts.kills_missed += bool(step.kill)
        except Killed:
            self.counts.kills += 1
            self.counts.kills_timed += step.kill == "timed"

    def _run(
        self,
        warehouse: Warehouse,
        action: str,
        as_of: str,
        variables: dict[str, Any],
        kill: tuple[str, int] | None = None,
        kill_after: float | None = None,
    ) -> Any:
        self.counts.runs += 1
        self.counts.rebuilds += action.startswith("rebuild")
        self.counts.backfills += action == "backfill"
        started = time.monotonic()
        self._statements[action], found = warehouse.do("run", action, as_of, variables, kill, kill_after=kill_after)
        self._seconds[action] = time.monotonic() - started
        return found

    def _catch_up(self, warehouse: Warehouse, as_of: str, variables: dict[str, Any]) -> None:
        """Runs until nothing is pending. What a flow cannot tell from copies it may leave to the next one."""
        left = [self._run(warehouse, "catch up", as_of, variables)]
        while left[-1] and len(left) < 40 and len(set(left[-3:])) == min(len(left), 3):
            left.append(self._run(warehouse, "catch up", as_of, variables))
        assert left[-1] == 0, f"stuck with {left} records pending"


def _row(delivery: Delivery) -> tuple[str | None, str | None]:
    return tuple(None if value is None else json.dumps(value) for value in (delivery.metadata, delivery.content))


def _spans(history: History) -> Iterator[dict[str, str]]:
    """What no run need find, for backfills: in one, or where that leaves less out, minute by minute."""
    pushed = sorted(d.pushed_ms for d in history.deliveries if not d.is_promised and d.pushed_ms is not None)
    starts = sorted({ms // MINUTE * MINUTE for ms in pushed})
    if len(starts) > 2 or (starts and history.one_backfill):
        yield {"backfill_from": iso(pushed[0]), "backfill_to": iso(pushed[-1] + 1)}
    else:
        for start in starts:
            yield {"backfill_from": iso(start), "backfill_to": iso(start + MINUTE)}


def _check_promises(history: History, records: Rows, buckets: Rows) -> None:
    """What arrived within the window is there before any backfill."""
    promised = {r.record_id for r in history.records.values() if any(d.is_promised for d in r.deliveries)}
    missing = promised - {row["record_id"] for row in records}
    assert not missing, f"no run found {sorted(missing)}"
    counted = {_bucket(row): row["record_count"] for row in buckets}
    for key, (count, _, _) in expected_buckets([d for d in history.deliveries if d.is_promised]).items():
        assert counted.get(key, 0) >= count, f"bucket {key} has {counted.get(key, 0)} of {count}"


def _check_oracle(history: History, tables: dict[str, Rows]) -> None:
    rows = {row["record_id"]: row for row in tables["order_event_records"]}
    assert len(rows) == len(tables["order_event_records"]), "a record twice"
    assert not (wrong := rows.keys() ^ history.records.keys()), f"too many or missing: {sorted(wrong)}"
    for record_id, record in history.records.items():
        row, metadata = rows[record_id], record.deliveries[0].metadata
        assert {name: row[name] for name in record.says} == record.says, record_id
        assert row["rejected_reason"] == record.rejected_reason, record_id
        assert (row["topic"], row["partition"], row["kafka_offset"]) == (record.topic, record.partition, record.offset)
        assert row["created_at"] == instant(record.deliveries[0].created_ms), record_id
        assert row["pushed_at"] in {instant(d.pushed_ms) for d in record.deliveries}, record_id
        assert row["is_dated"] in {d.pushed_ms is not None for d in record.deliveries}, record_id
        landed = {instant(d.landed_ms) for d in record.deliveries}
        assert row["landed_at"] in landed or None in landed, record_id
        if record.rejected_reason:
            kept = [row["rejected_metadata"], row["rejected_content"]]
            assert [json.loads(text) if text else None for text in kept] in [
                [d.metadata, d.content] for d in record.deliveries
            ], (record_id, kept, metadata)
    rejected = {r.record_id for r in history.records.values() if r.rejected_reason}
    assert sorted(row["record_id"] for row in tables["rejected_order_events"]) == sorted(rejected)
    events = history.records.keys() - rejected
    assert sorted(row["record_id"] for row in tables["fct_order_events"]) == sorted(events)

    orders = expected_orders(history.records)
    found = {row["order_id"]: row for row in tables["fct_orders"]}
    assert len(found) == len(tables["fct_orders"]), "an order twice"
    assert found.keys() == orders.keys()
    for order_id, order in orders.items():
        assert {name: found[order_id][name] for name in order} == order
    buckets = {
        _bucket(r): (r["record_count"], r["max_offset"], r["last_landed_at"]) for r in tables["order_event_buckets"]
    }
    assert len(buckets) == len(tables["order_event_buckets"]), "a bucket twice"
    assert buckets == expected_buckets(history.deliveries)


def _check_days(history: History, tables: dict[str, Rows], today: date) -> None:
    """The days before `today` are closed."""
    for table, *keys in (("orders_daily", "currency"), ("customers_daily", "customer_id", "currency")):
        days: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for order in expected_orders(history.records).values():
            if (day := order["first_event_at"].date()) < today:
                days.setdefault((day, *(order[key] or "(none)" for key in keys)), []).append(order)
        figures = {
            key: (
                len(orders),
                sum(order["event_count"] for order in orders),
                sum(amounts) if (amounts := [o["amount"] for o in orders if o["amount"] is not None]) else None,
            )
            for key, orders in days.items()
        }
        found = {
            (row["order_date"], *(row[key] for key in keys)): (row["orders"], row["event_count"], row["amount"])
            for row in tables[table]
        }
        assert len(found) == len(tables[table]), f"a row of {table} twice"
        assert found == figures, table
    assert all(row["is_reconciled"] for row in tables["daily_reconciliation"])


def _bucket(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["bucket_start"], row["topic"], row["partition"], row["is_dated"]


def compare(model: str, replayed: Rows, in_one_go: Rows, records: dict[str, Record]) -> None:
    """Asserts that two tables are equal but for what says how they were loaded."""

    def comparable(row: dict[str, Any]) -> tuple[Any, ...]:
        left_out = BOOKKEEPING | EXCLUDED.get(model, set())
        record = records.get(row.get("record_id", ""))
        if record and len(record.deliveries) > 1:
            left_out = left_out | OF_A_DELIVERY
        if record and record.deliveries[0].landed_ms is None:
            left_out = left_out | {"landed_at"}
        return tuple((name, value) for name, value in sorted(row.items()) if name not in left_out)

    ours, theirs = Counter(map(comparable, replayed)), Counter(map(comparable, in_one_go))
    assert list((ours - theirs).elements()) == list((theirs - ours).elements()) == [], model
