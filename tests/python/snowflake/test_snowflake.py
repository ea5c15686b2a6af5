"""The same project through dbt-snowflake: the real adapter and the real connector, on a Snowflake on loopback.

One life of the stream runs on both targets, in a process each; then every model must hold the same rows, value by
value, every node must have ended alike, and Slack must have been told the same.
"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import snowflake.connector
import sqlfluff
import sqlglot
import yaml
from sqlfluff.core import FluffConfig, Linter
from sqlglot import exp

from tests.python.snowflake import emulator
from tests.python.snowflake.emulator import GAPS, Gap, connect
from tests.python.warehouse import PROJECT_DIR
from tests.python.web import Receiver

# Each alert's last measurements are stored, healthy or not: what Slack says comes from there.
ALERTS = sorted(re.findall(r"\{% docs (\w+) %\}", (PROJECT_DIR / "models/monitoring/watch/alerts.md").read_text()))
MODELS = sorted(path.stem for path in [*PROJECT_DIR.glob("models/**/*.sql"), *PROJECT_DIR.glob("seeds/*.csv")])
ORDERS_PER_DAY = 12_000


@pytest.fixture(scope="module")
def port(_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    server, port = emulator.start(tmp_path_factory.mktemp("snowflake"))
    yield port
    server.kill()


@pytest.fixture(scope="module")
def port_without_gaps_filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    server, port = emulator.start(tmp_path_factory.mktemp("pure"), "--with-gaps")
    yield port
    server.kill()


@pytest.mark.parametrize("gap", GAPS, ids=lambda gap: gap.name)
def test_a_gap_is_filled_and_still_needed(gap: Gap, port: int, port_without_gaps_filled: int) -> None:
    assert _rows(port, gap.shown_by) == gap.expected
    try:
        rows = _rows(port_without_gaps_filled, gap.shown_by)
    except snowflake.connector.errors.Error:
        rows = None
    assert rows != gap.expected, f"fakesnow can do this now: delete the gap '{gap.name}' from emulator.py"


def test_a_session_that_could_lose_rows_is_refused(port_without_gaps_filled: int, tmp_path: Path) -> None:
    """There the parameter is not set."""
    remote = Life(tmp_path, emulator.environment(tmp_path, port_without_gaps_filled))
    with pytest.raises(AssertionError, match="alter user streaming_ops_monitor set transaction_abort_on_error = true"):
        remote.run("dbt", "run-operation", "create_landing_tables")


def _rows(port: int, statement: str) -> list[tuple[Any, ...]]:
    with connect(port) as connection:
        return connection.cursor().execute(statement).fetchall()


@dataclass
class Life:
    """How one target lived: how each node of each run ended, and what Slack was sent."""

    directory: Path
    environment: dict[str, str]
    ended: dict[str, Any] = field(default_factory=dict)
    posted: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.environment |= {
            "DBT_TARGET_PATH": str(self.directory / "target"),
            "DBT_LOG_PATH": str(self.directory / "logs"),
        }

    def run(self, *command: str) -> str:
        """Runs it in a process of its own; its output."""
        ended = subprocess.run(
            command, cwd=PROJECT_DIR, env=os.environ | self.environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-5000:]
        return ended.stdout

    def live(self) -> None:
        receiver = Receiver()
        self.environment["SLACK_WEBHOOK_URL"] = receiver.url
        told = self.run(sys.executable, "-W", "ignore", "-m", "tests.python.snowflake.life", str(ORDERS_PER_DAY))
        (self.directory / "posted.json").write_text(json.dumps(receiver.received, indent=1))
        self.ended, self.posted = json.loads(told.rsplit("ENDED ", 1)[1]), receiver.received


@pytest.fixture(scope="module")
def lives(port: int, tmp_path_factory: pytest.TempPathFactory) -> tuple[Life, Life]:
    """On DuckDB, and on Snowflake."""
    local, remote = tmp_path_factory.mktemp("local"), tmp_path_factory.mktemp("remote")
    here = Life(local, {"DBT_TARGET": "local", "STREAMING_OPS_DUCKDB_PATH": str(local / "warehouse.duckdb")})
    there = Life(remote, emulator.environment(remote, port))
    with ThreadPoolExecutor() as pool:
        for life in [pool.submit(here.live), pool.submit(there.live)]:
            life.result()
    return here, there


def _local(here: Life) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(here.environment["STREAMING_OPS_DUCKDB_PATH"])
    return connection.execute("set timezone = 'UTC'; set disabled_optimizers = 'statistics_propagation'")


@pytest.mark.parametrize("table", [*MODELS, *ALERTS])
def test_every_model_and_stored_alert_holds_the_same_rows_on_both_targets(
    table: str, lives: tuple[Life, Life], port: int
) -> None:
    with _local(lives[0]) as connection:
        found = "select table_schema from information_schema.tables where lower(table_name) = ?"
        (schema,) = connection.execute(found, [table]).fetchone() or (None,)
        assert schema, f"no run of the life builds {table}"
        columns = connection.execute(f"describe {schema}.{table}").fetchall()
        names = [name for name, *_ in columns]
        chosen = [f"{name}::json::varchar" if kind == "VARIANT" else name for name, kind, *_ in columns]
        here = connection.execute(f"select {', '.join(chosen)} from {schema}.{table}").fetchall()
    there = _rows(port, f"select {', '.join(names)} from {schema}.{table}")
    ours, theirs = (Counter(tuple(map(_comparable, row)) for row in rows) for rows in (here, there))
    only_here, only_there = ((a - b).most_common(3) for a, b in ((ours, theirs), (theirs, ours)))
    assert not only_here and not only_there, f"{names}\nonly on DuckDB: {only_here}\nonly on Snowflake: {only_there}"
    print(f"{schema}.{table}: {len(here)} rows")


def _comparable(value: Any) -> Any:
    """Numbers by value, whatever their type; a VARIANT by what it holds."""
    if isinstance(value, float):
        return Decimal(value).quantize(Decimal("0.000001")).normalize()
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value).normalize()
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.dumps(json.loads(value), sort_keys=True)
    return value


def test_every_node_and_flow_ends_alike_on_both_targets(lives: tuple[Life, Life]) -> None:
    here, there = (life.ended for life in lives)
    for run in here:
        ours, theirs = (
            # Of a success dbt-snowflake says how many rows it wrote, dbt-duckdb nothing.
            {name: [status] if status == "success" else [status, said] for name, (status, said) in ended[run].items()}
            if isinstance(ended[run], dict)
            else ended[run]
            for ended in (here, there)
        )
        assert ours == theirs, run
        assert not isinstance(ours, dict) or "error" not in {status for status, *_ in ours.values()}, run
    assert sum(day["records"] for day in here["backfill"]) > 0
    assert "ERROR" in here["show_health"]
    assert "firing" in here["show_alerts"]
    flows = [run for run in here if isinstance(here[run], str) and not run.startswith("show_")]
    assert [here[run] for run in flows] == ["completed"] * 4, flows


def _without_origin(text: str) -> str:
    """Which target a message is from is all that differs."""
    return re.sub(r"local \S*/warehouse\.duckdb|snowflake fakesnow STREAMING_OPS", "origin", text)


def test_slack_is_told_the_same_from_both_targets(lives: tuple[Life, Life]) -> None:
    here, there = (json.loads(_without_origin(json.dumps(life.posted))) for life in lives)
    assert [post["text"] for post in here] == [post["text"] for post in there]
    assert here == there
    told = json.dumps(here)
    for alert in ("collector_failed", "connector_not_running", "partition_rewound", "unexpected_payload"):
        assert f"*{alert}*: FIRING" in told


def test_dbt_itself_runs_the_unit_tests_and_makes_the_docs_site(lives: tuple[Life, Life], port: int) -> None:
    """As people type it. Every unit test of a model holds for Snowflake's SQL, too."""
    there = lives[1]
    assert " ERROR=0 " in there.run("dbt", "test", "--select", "test_type:unit")
    there.run("dbt", "docs", "generate", "--static")
    catalog = json.loads((there.directory / "target" / "catalog.json").read_text())
    assert not catalog["errors"]
    described = {node.split(".")[-1] for node, found in catalog["nodes"].items() if found["columns"]} & set(MODELS)
    # The emulator's catalogue tells no views.
    tables = """select lower(table_name) from STREAMING_OPS.information_schema.tables
        where table_type = 'BASE TABLE' and table_schema in ('ANALYTICS', 'MONITORING')"""
    assert described == {name for (name,) in _rows(port, tables)} & set(MODELS)
    landed = {"ORDER_EVENTS", "KAFKA_OFFSETS", "CONNECTOR_STATUS", "COLLECTOR_RUNS"}
    assert landed | {"TEST_RESULTS", "NOTIFICATIONS", "RUN_LEASES", "RUN_STATE"} == {
        source["metadata"]["name"].upper() for source in catalog["sources"].values()
    }
    assert (there.directory / "target" / "static_index.html").stat().st_size > 1_000_000


def test_twenty_random_histories_end_in_the_tables_of_one_load(tmp_path: Path) -> None:
    """test_exactness.py, each of two processes with a Snowflake of its own; runs are killed there, too."""

    def replay(seed: int) -> str:
        life = Life(tmp_path, {"STREAMING_OPS_HISTORIES_TARGET": "snowflake", "STREAMING_OPS_HISTORIES": "10"})
        life.environment |= {"STREAMING_OPS_SEED": str(seed), "PYTEST_ADDOPTS": f"--basetemp={tmp_path / str(seed)}"}
        return life.run(sys.executable, "-m", "pytest", "-q", "tests/python/exactness/test_exactness.py")

    with ThreadPoolExecutor() as pool:
        for told in pool.map(replay, (1, 2)):
            assert "1 passed" in told


@pytest.fixture(scope="module")
def statements(lives: tuple[Life, Life]) -> dict[str, exp.Expr]:
    """Every statement that went to Snowflake in that life, and what the other layout of the payload would send."""
    there = lives[1]
    sent = json.loads((there.directory / "logs" / "sent.json").read_text())
    there.run("dbt", "compile", "--vars", "payload_layout: columns", "--target-path", str(there.directory / "columns"))
    sent += [path.read_text() for path in (there.directory / "columns" / "compiled").rglob("*.sql")]
    distinct: dict[str, str] = {}
    for statement in sent:
        # Without dbt's comment, and with a value where the connector puts one in.
        text = re.sub(r"/\* \{.*?\} \*/", "", statement, flags=re.DOTALL).replace("%s", "null").strip()
        # Of those that differ in numbers and instants alone, one.
        distinct.setdefault(re.sub(r"\b\d+\b|'[^']*\d[^']*'", "?", text), text)
    return {text: sqlglot.parse_one(text, read="snowflake") for text in distinct.values() if text}


def test_every_statement_is_snowflakes_and_calls_only_its_functions(statements: dict[str, exp.Expr]) -> None:
    """As sqlglot and sqlfluff know it; the functions are those of Snowflake's documentation."""
    listed = (PROJECT_DIR / "tests/python/snowflake/functions.txt").read_text()
    functions = {line.split()[0] for line in listed.splitlines() if line and not line.startswith("#")}
    # As they were sent: one that lands a text with Jinja in it is no template.
    linter, called = Linter(FluffConfig(overrides={"dialect": "snowflake", "templater": "raw"})), set()
    for text, parsed in statements.items():
        assert not isinstance(parsed, exp.Command) or text.startswith("show "), text
        tree = linter.parse_string(f"{text}\n")
        assert not tree.violations and tree.tree, (text, tree.violations)
        called |= {name.raw.upper() for name in tree.tree.recursive_crawl("function_name")}
    assert called == functions, "tests/python/snowflake/functions.txt has others, or not all"
    print(f"{len(statements)} distinct statements, {len(called)} functions")


def test_no_statement_means_something_else_on_snowflake(statements: dict[str, exp.Expr]) -> None:
    """What the emulator cannot tell, for it is DuckDB. Whole numbers divided have six decimals on Snowflake: floor()
    of that is one too many at the end of a day. And of subqueries it takes no other correlated ones than these."""
    for parsed in statements.values():
        for division in parsed.find_all(exp.Div):
            is_double = any(cast.is_type("double") for cast in division.find_all(exp.Cast))
            assert is_double, f"cast one to double: {division.sql('snowflake')}"
        for query in parsed.find_all(exp.Select):
            if isinstance(query.parent, exp.Exists | exp.Subquery | exp.In):
                _assert_is_supported(query)


def _assert_is_supported(query: exp.Select) -> None:
    tables = {source.alias_or_name.upper() for source in query.find_all(exp.Table, exp.Subquery)}
    outer = [column for column in query.find_all(exp.Column) if column.table and column.table.upper() not in tables]
    for column in outer:
        is_equality = isinstance(column.parent, exp.EQ) and isinstance(query.parent, exp.Exists)
        assert is_equality, f"correlated by {column.sql()}: {query.sql('snowflake')}"


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
    made = {
        statement.this.this.name: [column.name for column in statement.find_all(exp.ColumnDef)]
        for statement in map(sqlglot.parse_one, (text for text in statements if text.startswith("create table")))
    }
    described = yaml.safe_load((PROJECT_DIR / "models/staging/_streaming__sources.yml").read_text())
    assert made == {
        table["name"]: [column["name"] for column in table["columns"]] for table in described["sources"][0]["tables"]
    }
    for table in made:
        assert f"table streaming_ops.streaming.{table} to role streaming_ops" in text or table == "order_events"
