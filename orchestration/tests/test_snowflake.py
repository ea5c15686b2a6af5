"""The same project through dbt-snowflake: the real adapter and the real connector, on a Snowflake on loopback.

One life of the stream runs on both targets, in a process each; then every model must hold the same rows, value by
value, and every node must have ended alike.
"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import snowflake.connector
import sqlfluff

from orchestration.tests import fake_snowflake
from orchestration.tests.conftest import PROJECT_DIR
from orchestration.tests.fake_snowflake import GAPS, Gap, connect

MODELS = sorted(path.stem for path in [*PROJECT_DIR.glob("models/**/*.sql"), *PROJECT_DIR.glob("seeds/*.csv")])
ORDERS_PER_DAY = 12_000


@pytest.fixture(scope="module")
def port(_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    server, port = fake_snowflake.start(tmp_path_factory.mktemp("snowflake"))
    yield port
    server.kill()


@pytest.fixture(scope="module")
def port_without_gaps_filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    server, port = fake_snowflake.start(tmp_path_factory.mktemp("pure"), "--with-gaps")
    yield port
    server.kill()


@pytest.mark.parametrize("gap", GAPS, ids=lambda gap: gap.name)
def test_a_gap_is_filled_and_still_needed(gap: Gap, port: int, port_without_gaps_filled: int) -> None:
    assert _rows(port, gap.shown_by) == gap.expected
    try:
        rows = _rows(port_without_gaps_filled, gap.shown_by)
    except snowflake.connector.errors.Error:
        rows = None
    assert rows != gap.expected, f"fakesnow can do this now: delete the gap '{gap.name}' from fake_snowflake.py"


def _rows(port: int, statement: str) -> list[tuple[Any, ...]]:
    with connect(port) as connection:
        return connection.cursor().execute(statement).fetchall()


def _live(directory: Path, **environment: str) -> dict[str, Any]:
    """Runs the life in a process of its own; how each node of each run ended."""
    places = {"DBT_TARGET_PATH": str(directory / "target"), "DBT_LOG_PATH": str(directory / "logs")}
    command = [sys.executable, "-W", "ignore", "-m", "orchestration.tests.life", str(ORDERS_PER_DAY)]
    ended = subprocess.run(
        command, cwd=PROJECT_DIR, env=os.environ | places | environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return json.loads(ended.stdout.rsplit("ENDED ", 1)[1])


@pytest.fixture(scope="module")
def lives(port: int, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The DuckDB file of the one, and how both went."""
    local, remote = tmp_path_factory.mktemp("local"), tmp_path_factory.mktemp("remote")
    file = local / "warehouse.duckdb"
    with ThreadPoolExecutor() as pool:
        here = pool.submit(_live, local, DBT_TARGET="local", STREAMING_OPS_DUCKDB_PATH=str(file))
        there = pool.submit(_live, remote, **fake_snowflake.environment(remote, port))
        return file, here.result(), there.result()


@pytest.mark.parametrize("model", MODELS)
def test_every_model_holds_the_same_rows_on_both_targets(
    model: str, lives: tuple[Path, dict[str, Any], dict[str, Any]], port: int
) -> None:
    with duckdb.connect(lives[0]) as connection:
        connection.execute("set timezone = 'UTC'; set disabled_optimizers = 'statistics_propagation'")
        found = "select table_schema from information_schema.tables where lower(table_name) = ?"
        (schema,) = connection.execute(found, [model]).fetchone() or (None,)
        assert schema, f"no run of the life builds {model}"
        columns = connection.execute(f"describe {schema}.{model}").fetchall()
        names = [name for name, *_ in columns]
        chosen = [f"{name}::json::varchar" if kind == "VARIANT" else name for name, kind, *_ in columns]
        here = connection.execute(f"select {', '.join(chosen)} from {schema}.{model}").fetchall()
    there = _rows(port, f"select {', '.join(names)} from {schema}.{model}")
    ours, theirs = (Counter(tuple(map(_comparable, row)) for row in rows) for rows in (here, there))
    only_here, only_there = ((a - b).most_common(3) for a, b in ((ours, theirs), (theirs, ours)))
    assert not only_here and not only_there, f"{names}\nonly on DuckDB: {only_here}\nonly on Snowflake: {only_there}"


def _comparable(value: Any) -> Any:
    """Numbers by value, whatever their type; a VARIANT by what it holds."""
    if isinstance(value, float):
        return Decimal(value).quantize(Decimal("0.000001")).normalize()
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value).normalize()
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.dumps(json.loads(value), sort_keys=True)
    return value


def test_every_node_ends_alike_on_both_targets(lives: tuple[Path, dict[str, Any], dict[str, Any]]) -> None:
    _, here, there = lives
    for run in here:
        ours, theirs = (
            # Of a success dbt-snowflake says how many rows it wrote, dbt-duckdb nothing.
            {name: [status] if status == "success" else [status, said] for name, (status, said) in ended[run].items()}
            for ended in (here, there)
        )
        assert ours == theirs, run
        assert "error" not in {status for status, *_ in ours.values()}, run


SETUP = PROJECT_DIR / "orchestration" / "snowflake" / "setup.sql"
# Of warehouses, users, roles, grants and managed schemas the emulator knows nothing.
NOT_EMULATED = re.compile(r"(create|alter) (warehouse|resource monitor|role|user)|grant|create schema .* managed")


def test_the_setup_is_snowflakes_sql_and_makes_the_landing_tables(port: int) -> None:
    """All of it parses; what the emulator understands runs, the rest is printed: an administrator tries that first."""
    text = SETUP.read_text()
    sqlfluff.parse(text, dialect="snowflake")
    statements = [" ".join(part.split()) for part in re.sub(r"--.*", "", text).split(";") if part.strip()]
    with connect(port) as connection:
        for statement in statements:
            if NOT_EMULATED.match(statement):
                print(f"not tried: {statement}")
            else:
                connection.cursor().execute(statement)
        for table in ("order_events", "kafka_offsets", "connector_status"):
            connection.cursor().execute(f"select count(*) from streaming_ops.streaming.{table}")
