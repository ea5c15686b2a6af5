"""What a tick costs, against its floor and over longer histories, and what a backlog costs, against SQL by hand.

`make bench`; `python -m bench.bench --help`. A tick is `monitor_streaming` and `streaming_dbt_transform` with about
1,000 new records, in a warm process that opens the DuckDB file anew. Its floor is every statement that dbt sent in that
tick, executed again on a copy of the file from before it, in the same order, without dbt, one after the other. One more
tick is executed again under DuckDB's profiler, which counts the rows that were scanned. Histories differ in length, not
in density: below some 400,000 records they are shorter than the day that parts of a tick look back.

A backlog landed while nothing was transformed: `streaming_dbt_transform` in a warm process, against the statements of
bench/by_hand.py, which must give the same rows. And the number of statements that a tick sends to Snowflake.
"""

import json
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Annotated, Any
from unittest.mock import patch

import duckdb
import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table

from bench.by_hand import STATEMENTS, make_by_hand, peak_mb
from bench.scheduled import measure_scheduled_runs
from bench.statements import KINDS, count_statements
from orchestration import runs

UNTIL = datetime(2026, 3, 1, tzinfo=UTC)
STRETCH = timedelta(minutes=5)
LOADED = UNTIL - timedelta(hours=26)  # monitors look at what was loaded lately: not at a history of one load
ORDERS_PER_DAY, EVENTS_PER_DAY = 100_000, 383_000  # and 1,000 in the five minutes after midnight
LANDED_AT_ONCE = timedelta(days=2.5)  # under a million records: a stretch is generated in memory
WARM_UPS = 2  # the first one, in a process of its own, sorts the history into buckets and reads all since LOADED
PHASES = {"monitor": runs.monitor, "transform": runs.transform}
GROWING = {"floor of": "seconds of a node", "rows of": "rows scanned by a node", "rows in": "rows scanned of a table"}
SHOWN = 8  # of each that grew most
ISO = "%Y-%m-%dT%H:%M:%SZ"
Figures = dict[str, float]
Statement = tuple[str, int, str, Any]  # the tick's phase, dbt's cursor, SQL, bindings
process = partial(ProcessPoolExecutor, max_workers=1, mp_context=multiprocessing.get_context("spawn"))
console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)


@cache
def warm_dbt() -> Any:
    """The parsed project, once per process: no collectors and no receivers, whatever is configured."""
    from orchestration import collectors, notify, steps

    collectors.collect, notify.configured = lambda *_: [], lambda _: []
    dbt = steps.project()
    release()
    return dbt


def begin(since: datetime) -> None:
    """A new file: the tables, empty, and the snapshot that generate_stream goes on from."""
    dbt, as_of = warm_dbt(), f"{since:{ISO}}"
    topic = dbt.query("select topic, consumer_group from {{ ref('expected_topics') }} order by topic", as_of)[0]
    topic |= {"partition": 0, "log_start_offset": 0, "log_end_offset": 0, "committed_offset": None}
    dbt.run_operation("land_snapshot", as_of, table="kafka_offsets", rows=[topic])
    release()


def land(since: datetime, until: datetime) -> Figures:
    """Continues the stream, which reaches to `since`; `records` have landed since it began."""
    dbt, started = warm_dbt(), time.perf_counter()
    while since < until:
        since = min(since + LANDED_AT_ONCE, until)
        dbt.run_operation("generate_stream", f"{since:{ISO}}", orders_per_day=ORDERS_PER_DAY)
        release()
    count = dbt.query("select count(*) as n from {{ source('streaming', 'order_events') }}", f"{until:{ISO}}")[0]["n"]
    release()
    return {"records": int(count), "land_seconds": time.perf_counter() - started, "land_peak_mb": peak_mb()}


def transform(as_of: datetime) -> tuple[Figures, str]:
    """Transforms all that is pending, and closes the file: its figures, and the settings of dbt's cursors."""
    warm_dbt()
    started = time.perf_counter()
    runs.transform(f"{as_of:{ISO}}")
    settings = release()
    return {"seconds": time.perf_counter() - started, "peak_mb": peak_mb()}, settings


def tick(as_of: datetime) -> tuple[Figures, list[Statement], str]:
    """One tick: its figures, what it sent, and the settings of its cursors."""
    from dbt.adapters.duckdb.environments import local

    warm_dbt()
    sent, figures = [], {}
    wrapper, connection = local.DuckDBCursorWrapper, local.DuckDBConnectionWrapper
    execute, rollback = wrapper.execute, connection.rollback

    def log_execute(self: Any, sql: str, bindings: Any = None) -> Any:
        sent.append((phase, id(self), sql, bindings))
        return execute(self, sql, bindings)

    def log_rollback(self: Any) -> Any:
        sent.append((phase, id(self.cursor()), "rollback", None))
        return rollback(self)

    with patch.object(wrapper, "execute", log_execute), patch.object(connection, "rollback", log_rollback):
        for phase, run in PHASES.items():
            started = time.perf_counter()
            run(f"{as_of:{ISO}}")
            figures[f"tick_{phase}_seconds"] = time.perf_counter() - started
    settings = release()
    return {"tick_seconds": sum(figures.values())} | figures | {"tick_peak_mb": peak_mb()}, sent, settings


def executed(file: Path, statements: list[Statement], settings: str) -> Iterator[tuple[str, str, Any]]:
    """Executes the statements, each on its cursor; gives the phase, the node and the cursor after each."""
    database, cursors = duckdb.connect(str(file)), {}
    for phase, cursor, sql, bindings in statements:
        if cursor not in cursors:
            cursors[cursor] = database.cursor().execute(settings)
        cursors[cursor].execute(sql, bindings).fetchall()
        # dbt names the node in a comment; the catalog's queries and transactions have none.
        node = re.search(r'"node_id": "\w+\.\w+\.(\w+)', sql)
        yield phase, node[1] if node else "others", cursors[cursor]


def replay(file: Path, statements: list[Statement], settings: str) -> Figures:
    """The floor: the seconds of each phase and of each node in it, opening the file included."""
    figures, started = defaultdict(float), time.perf_counter()
    for phase, node, _ in executed(file, statements, settings):
        ended = time.perf_counter()
        for name in ("floor_seconds", f"floor_{phase}_seconds", f"floor of {phase}: {node}"):
            figures[name] += ended - started
        started = ended
    return figures | {"floor_peak_mb": peak_mb()}


def replay_profiled(file: Path, statements: list[Statement], settings: str) -> Figures:
    """The rows scanned in each phase, in each node of it, and in each table."""
    figures = Counter()
    for phase, node, cursor in executed(file, statements, f"{settings} pragma enable_profiling = 'no_output'"):
        for table, rows in rows_scanned(json.loads(cursor.get_profiling_information("json"))).items():
            for name in ("rows_scanned", f"rows_scanned_{phase}", f"rows of {phase}: {node}", f"rows in {table}"):
                figures[name] += rows
    return dict(figures)


def rows_scanned(profile: dict[str, Any]) -> dict[str, int]:
    """The rows that one statement's scans read, per table ("schema.table", lower case), from DuckDB's profile of it.

    Of a row group or segment that is not skipped all rows count. dbt's temporary tables lose the number in their names.
    """
    rows, operators = Counter(), list(profile.get("operator", []))
    while operators:
        operator = operators.pop()
        operators += operator.get("children", [])
        if operator.get("rows_scanned"):
            table = ".".join(operator["extra_info"]["Table"].lower().split(".")[-2:])
            rows[re.sub(r"(__dbt_tmp)\w*", r"\1", table)] += operator["rows_scanned"]
    return dict(rows)


def release() -> str:
    """Closes the DuckDB file, which dbt keeps open: others may then use it. Returns the settings, without a bar."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    (env := DuckDBConnectionManager.env()).close()
    settings = {"enable_progress_bar": False} | (env.creds.settings or {})
    return "".join(f"set {name} = '{value}';" for name, value in settings.items())


def run(where: ProcessPoolExecutor, function: Any, *args: Any) -> Any:
    """Calls `function` in the process `where`, and says every half minute that it still runs."""
    started, future = time.monotonic(), where.submit(function, *args)
    while not wait([future], timeout=30).done:
        console.print(f"  {function.__name__} ... {time.monotonic() - started:.0f} s")
    return future.result()


def land_history(producer: ProcessPoolExecutor, worker: ProcessPoolExecutor, size: int) -> Figures:
    """A new file with about `size` landed records up to UNTIL; the worker is warm then."""
    since = (UNTIL - timedelta(days=size / EVENTS_PER_DAY)).replace(microsecond=0)
    run(worker, begin, since)
    return run(producer, land, since, UNTIL)


def measure_ticks(size: int, repetitions: int, directory: Path) -> Figures:
    """All figures of one history: medians, but for the rows scanned, which are those of the last tick."""
    file, before = directory / "warehouse.duckdb", directory / "before" / "warehouse.duckdb"
    before.parent.mkdir()
    rows = []
    with process() as producer, process() as loader, process() as ticker:
        figures = land_history(producer, loader, size)
        loaded, _ = run(loader, transform, LOADED)
        figures |= {f"load_{name}": value for name, value in loaded.items()}
        console.print("  ".join(f"{name} {shown(value)}" for name, value in figures.items()))
        records = figures["records"]
        for number in range(1, WARM_UPS + repetitions + 2):
            as_of, records_before = UNTIL + number * STRETCH, records
            records = run(producer, land, as_of - STRETCH, as_of)["records"]
            shutil.copy(file, before)
            os.sync()  # else the copy is still being written while the tick runs
            row, sent, settings = run(loader if number == 1 else ticker, tick, as_of)
            with process() as replayer:
                kind = replay_profiled if number > WARM_UPS + repetitions else replay
                row |= run(replayer, kind, before, sent, settings)
            rows.append(row | {"new_records": records - records_before, "statements": len(sent)})
            names = ("tick_monitor_seconds", "tick_transform_seconds", "floor_seconds", "rows_scanned")
            text = "  ".join(f"{name} {shown(row[name])}" for name in names if name in row)
            console.print(f"tick {number} of {WARM_UPS} + {repetitions} + 1: {text}")
    *timed, profiled = rows[WARM_UPS:]
    figures |= {name: median(row.get(name, 0) for row in timed) for name in timed[-1]}
    for name in ("", "_monitor", "_transform"):
        figures[f"tick_over_floor{name}"] = figures[f"tick{name}_seconds"] / figures[f"floor{name}_seconds"]
    figures |= {name: value for name, value in profiled.items() if name.startswith("rows")}
    return {name: round(value, 4) for name, value in figures.items()}


def measure_backlog(size: int, directory: Path) -> dict[str, Figures]:
    """The figures of the project and of the statements by hand. Raises RuntimeError if their rows differ."""
    with process() as producer, process() as worker:
        records = land_history(producer, worker, size)["records"]
        project, settings = run(worker, transform, UNTIL)
    results = {"the project": project}
    for name in STATEMENTS:
        with process() as fresh:
            results[name] = run(fresh, make_by_hand, directory / "warehouse.duckdb", name, settings)
    for result in results.values():
        result |= {"records": records, "records_per_second": records / result["seconds"]}
        result |= {f"project_over_this_{name}": project[name] / result[name] for name in ("seconds", "peak_mb")}
    return {name: {key: round(value, 4) for key, value in result.items()} for name, result in results.items()}


def in_new_directory(measure: Any, size: int, *args: Any) -> Any:
    console.print(f"\n[bold]{measure.__name__}: about {size:,} records[/bold]")
    with tempfile.TemporaryDirectory(prefix="streaming_ops_bench_") as directory:
        os.environ["STREAMING_OPS_DUCKDB_PATH"] = f"{directory}/warehouse.duckdb"
        os.environ["DBT_TARGET_PATH"] = f"{directory}/target"
        return measure(size, *args, Path(directory))


def shown(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.3f}"


def show(title: str, results: dict[str, Figures], names: list[str], has_ratios: bool = True) -> None:
    """A row per figure and a column per result, each with its ratio to the first."""
    columns = ("figure", *(Column(result, justify="right") for result in results))
    table = Table(*columns, box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for name in names:
        first, *others = (result.get(name, 0) for result in results.values())
        ratios = [f" {value / first:6.2f}x" if has_ratios and first else "" for value in others]
        table.add_row(name, shown(first), *(shown(v) + ratio for v, ratio in zip(others, ratios, strict=True)))
    console.print(table)


def main(
    sizes: Annotated[str, typer.Option(help="Stored records of each history.")] = "100000,1000000,10000000,50000000",
    repetitions: Annotated[int, typer.Option(min=1, help="Measured ticks per history.")] = 5,
    backlog: Annotated[int, typer.Option(min=0, help="Records that wait for a transform.")] = 10_000_000,
) -> None:
    """Measures each history and the backlog, and prints the figures as tables and as one line of JSON."""
    os.environ |= {"DBT_TARGET": "local", "STREAMING_OPS_MIN_EVENTS": "1", "STREAMING_OPS_SCHEMA_PREFIX": ""}
    machine = {"cores": os.cpu_count(), "python": sys.version.split()[0]}
    machine |= {package: version(package) for package in ("dbt-core", "dbt-duckdb", "duckdb")}
    stored = sorted({int(size) for size in sizes.split(",") if size})
    ticks = {f"{size:,}": in_new_directory(measure_ticks, size, repetitions) for size in stored}
    backlogs = in_new_directory(measure_backlog, backlog) if backlog else {}
    if ticks:
        first, *_, last = [*ticks.values()] * 2
        show(f"Ticks, medians of {repetitions}", ticks, [name for name in last if " " not in name])
        for kind, what in GROWING.items():
            growth = {name: last[name] - first.get(name, 0) for name in last if name.startswith(kind)}
            show(f"What grew most: {what}", ticks, sorted(growth, key=growth.get, reverse=True)[:SHOWN])
    if backlogs:
        show("A backlog", backlogs, [*backlogs["the project"]], has_ratios=False)
    with tempfile.TemporaryDirectory(prefix="streaming_ops_bench_") as directory:
        sent = count_statements(process, Path(directory))
    show("What a tick sends to Snowflake", sent, ["statements", *KINDS, "queries"], has_ratios=False)
    with tempfile.TemporaryDirectory(prefix="streaming_ops_bench_") as directory:
        scheduled = measure_scheduled_runs(Path(directory))
    show("CPU seconds of a scheduled run", scheduled, [*scheduled["worker"]])
    figures = {"sizes": ticks, "backlog": backlogs, "sent": sent, "scheduled": scheduled}
    print(json.dumps({"machine": machine, "repetitions": repetitions} | figures))


if __name__ == "__main__":
    typer.run(main)
