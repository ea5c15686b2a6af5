"""What a tick costs: against its floor, and over a longer history. `make bench`; `python -m bench.bench --help`.

A tick is `monitor_streaming` and `streaming_dbt_transform` with about 1,000 new records, in a warm process that opens
the DuckDB file anew. Its floor is every statement that dbt sent in that tick, executed again on a copy of the file from
before it, in the same order, without dbt, one after the other. Histories differ in length, not in density.
"""

import json
import multiprocessing
import os
import re
import resource
import shutil
import sys
import tempfile
import time
from collections import defaultdict
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
from rich.table import Table

UNTIL = datetime(2026, 3, 1, tzinfo=UTC)
STRETCH = timedelta(minutes=5)
LOADED = UNTIL - timedelta(hours=26)  # what was loaded within 25 hours is tested for uniqueness
ORDERS_PER_DAY, EVENTS_PER_DAY = 100_000, 383_000  # and 1,000 in the five minutes after midnight
WARM_UPS = 2  # the first one, not in the process that counts, sorts the whole history into buckets
PHASES = {"monitor": "monitor_streaming", "transform": "streaming_dbt_transform"}
SHOWN_NODES = 8
ISO = "%Y-%m-%dT%H:%M:%SZ"
PEAK_UNIT = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss, for MB
Statement = tuple[str, int, str, Any]  # the tick's phase, dbt's cursor, SQL, bindings
process = partial(ProcessPoolExecutor, max_workers=1, mp_context=multiprocessing.get_context("spawn"))
console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)


@cache
def project() -> Any:
    """The project, parsed once per process."""
    from orchestration.runner import Dbt

    return Dbt()


def prepare(begin: str, until: str) -> dict[str, float]:
    """A new file with the events of a history, generated and loaded."""
    from orchestration.flows import raise_if_broken

    dbt = project()
    dbt.run_operation("create_landing_tables", begin)
    raise_if_broken(dbt.build("resource_type:seed tag:staging", begin))
    # generate_stream goes on from the last snapshot.
    topic = dbt.query("select topic, consumer_group from {{ ref('expected_topics') }} order by topic", begin, 1)[0]
    offsets = {"partition": 0, "log_start_offset": 0, "log_end_offset": 0, "committed_offset": None}
    dbt.run_operation("land_snapshot", begin, table="kafka_offsets", rows=[topic | offsets])
    started = time.perf_counter()
    figures = {"records": produce(until), "generate_seconds": time.perf_counter() - started}
    started = time.perf_counter()
    raise_if_broken(dbt.build("tag:streaming", f"{LOADED:{ISO}}"))
    figures["load_seconds"] = time.perf_counter() - started
    release()
    return figures | {"load_rows_per_second": figures["records"] / figures["load_seconds"]}


def produce(until: str) -> int:
    """Continues the stream; returns how many records have landed since it began."""
    project().run_operation("generate_stream", until, orders_per_day=ORDERS_PER_DAY)
    count = project().query("select count(*) as n from {{ source('streaming', 'order_events') }}", until)[0]["n"]
    release()
    return int(count)


def tick(as_of: str) -> tuple[dict[str, float], list[Statement], str]:
    """One tick: its figures, what it sent, and the settings of its cursors."""
    from dbt.adapters.duckdb.environments import local

    from orchestration import flows

    # No collectors and no Slack, whatever is configured here.
    flows.collect, flows.deliver = lambda *_: [], lambda *_: None
    flows.project()
    release()
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
        for phase, flow in PHASES.items():
            started = time.perf_counter()
            getattr(flows, flow).fn(as_of)
            figures[f"tick_{phase}_seconds"] = time.perf_counter() - started
    settings = release()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / PEAK_UNIT
    return figures | {"tick_seconds": sum(figures.values()), "tick_peak_mb": peak_mb}, sent, settings


def replay(file: Path, statements: list[Statement], settings: str) -> dict[str, float]:
    """The floor: the seconds of each phase and of each node in it, opening the file included."""
    figures, cursors = defaultdict(float), {}
    started = time.perf_counter()
    database = duckdb.connect(str(file))
    for phase, cursor, sql, bindings in statements:
        if cursor not in cursors:
            cursors[cursor] = database.cursor().execute(settings)
        cursors[cursor].execute(sql, bindings).fetchall()
        ended = time.perf_counter()
        # dbt names the node in a comment; the catalog's queries and transactions have none.
        node = re.search(r'"node_id": "\w+\.\w+\.(\w+)', sql)
        for name in ("floor_seconds", f"floor_{phase}_seconds", f"floor of {phase}: {node[1] if node else 'others'}"):
            figures[name] += ended - started
        started = ended
    return figures | {"floor_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / PEAK_UNIT}


def release() -> str:
    """Closes the DuckDB file, which dbt keeps open: others may then write or copy it. Returns the settings."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    (env := DuckDBConnectionManager.env()).close()
    return "".join(f"set {name} = '{value}';" for name, value in (env.creds.settings or {}).items())


def run(where: ProcessPoolExecutor, function: Any, *args: Any) -> Any:
    """Calls `function` in the process `where`, and says every ten seconds that it still runs."""
    started, future = time.monotonic(), where.submit(function, *args)
    while not wait([future], timeout=10).done:
        console.print(f"  {function.__name__} ... {time.monotonic() - started:.0f} s")
    return future.result()


def measure(size: int, repetitions: int, directory: Path) -> dict[str, float]:
    """All figures of one history; each reading of the floor follows the tick that it belongs to."""
    file, before = directory / "bench.duckdb", directory / "before" / "bench.duckdb"  # dbt's SQL has the file's name
    before.parent.mkdir()
    os.environ.update(STREAMING_OPS_DUCKDB_PATH=str(file), DBT_TARGET_PATH=str(directory / "target"))
    rows = []
    with process() as producer, process() as ticker:
        figures = run(producer, prepare, f"{UNTIL - timedelta(days=size / EVENTS_PER_DAY):{ISO}}", f"{UNTIL:{ISO}}")
        console.print("  ".join(f"{name} {value:,.1f}" for name, value in figures.items()))
        landed = figures["records"]
        for number in range(WARM_UPS + repetitions):
            as_of, landed_before = f"{UNTIL + number * STRETCH:{ISO}}", landed
            landed = run(producer, produce, as_of) if number else landed
            shutil.copy(file, before)
            row, sent, settings = run(ticker if number else producer, tick, as_of)
            with process() as replayer:
                row |= {"new_records": landed - landed_before, "statements": len(sent)}
                row |= run(replayer, replay, before, sent, settings)
            for name in ("", "_monitor", "_transform"):
                row[f"tick_over_floor{name}"] = row[f"tick{name}_seconds"] / row[f"floor{name}_seconds"]
            shown = "  ".join(f"{n} {row[f'{n}_seconds']:.2f} s" for n in ("tick_monitor", "tick_transform", "floor"))
            console.print(f"tick {number + 1}{' (to warm up)' if number < WARM_UPS else ''}: {shown}")
            rows.append(row)
    medians = {name: median(row.get(name, 0) for row in rows[WARM_UPS:]) for name in rows[-1]}
    return {name: round(value, 4) for name, value in (figures | medians).items()}


def main(
    sizes: Annotated[str, typer.Option(help="Stored records of each history.")] = "100000,10000000",
    repetitions: Annotated[int, typer.Option(min=1, help="Measured ticks per history.")] = 5,
) -> None:
    """Measures each history in turn, and prints the figures as a table and as one line of JSON."""
    os.environ |= {"DBT_TARGET": "local", "STREAMING_OPS_MIN_EVENTS": "1"}
    machine = {"cores": os.cpu_count(), "python": sys.version.split()[0]}
    machine |= {package: version(package) for package in ("dbt-core", "dbt-duckdb", "duckdb")}
    results = {}
    for size in sorted({int(text) for text in sizes.split(",")}):
        console.print(f"\n[bold]A history of about {size:,} records[/bold]")
        with tempfile.TemporaryDirectory(prefix="streaming_ops_bench_") as directory:
            results[f"{size:,}"] = measure(size, repetitions, Path(directory))
    first, *_, last = [*results.values()] * 2
    nodes = sorted((n for n in last if n.startswith("floor of")), key=lambda n: first.get(n, 0) - last[n])
    table = Table(*("figure", *results, "last / first"), box=box.SIMPLE_HEAD)
    for name in [n for n in last if n not in nodes] + nodes[:SHOWN_NODES]:
        ratio = f"{last[name] / first[name]:.2f}" if first.get(name) else "-"
        table.add_row(name, *(f"{result.get(name, 0):,.3f}" for result in results.values()), ratio)
    console.print(f"\nMedians of {repetitions} ticks, and the {SHOWN_NODES} nodes that grew most. {machine}", table)
    print(json.dumps({"machine": machine, "repetitions": repetitions, "sizes": results}))


if __name__ == "__main__":
    typer.run(main)
