"""The same project through dbt-snowflake: the real adapter and the real connector, on a Snowflake on loopback.

A life of the stream runs on both targets; then every model must hold the same rows, value by value, every node must
have ended alike, and Slack must have received the same. A short life is in every run of the tests, a long one in
`make test-snowflake`.
"""

import json
import re
from collections import Counter
from decimal import Decimal
from itertools import pairwise
from typing import Any

import duckdb
import pytest
import sqlglot
from sqlfluff.core import FluffConfig, Linter
from sqlglot import exp
from sqlglot.tokens import TokenType

from tests.python.snowflake.emulator import rows
from tests.python.snowflake.lives import ALERTS, MODELS, Life, Lives
from tests.python.warehouse import PROJECT_DIR

SHORT, LONG = "short", pytest.param("long", marks=pytest.mark.snowflake)
# Of a backfill, which the short life has not.
ONLY_LONG = {"TO_CHAR"}
# They take a bracket as a function does.
TYPES = {"DECIMAL", "TIMESTAMP_NTZ"}


def of(*lengths: Any) -> pytest.MarkDecorator:
    """Runs the test on a life of each length."""
    return pytest.mark.parametrize("lives", lengths, indirect=True, scope="session")


def _local(here: Life) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(here.environment["STREAMING_OPS_DUCKDB_PATH"])
    return connection.execute("set timezone = 'UTC'; set disabled_optimizers = 'statistics_propagation'")


@of(SHORT, LONG)
@pytest.mark.parametrize("table", [*MODELS, *ALERTS])
def test_every_model_and_stored_alert_holds_the_same_rows_on_both_targets(table: str, lives: Lives) -> None:
    with _local(lives.here) as connection:
        found = "select table_schema from information_schema.tables where lower(table_name) = ?"
        (schema,) = connection.execute(found, [table]).fetchone() or (None,)
        assert schema, f"no run of the life builds {table}"
        columns = connection.execute(f"describe {schema}.{table}").fetchall()
        names = [name for name, *_ in columns]
        chosen = [f"{name}::json::varchar" if kind == "VARIANT" else name for name, kind, *_ in columns]
        here = connection.execute(f"select {', '.join(chosen)} from {schema}.{table}").fetchall()
    there = rows(lives.port, f"select {', '.join(names)} from {schema}.{table}")
    ours, theirs = (Counter(tuple(map(_comparable, row)) for row in found) for found in (here, there))
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


@of(SHORT, LONG)
def test_every_node_and_flow_ends_alike_on_both_targets(lives: Lives) -> None:
    here, there = (life.ended for life in (lives.here, lives.there))
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
    assert "ERROR" in here["show_health"]
    assert "firing" in here["show_alerts"]
    flows = [run for run in here if isinstance(here[run], str) and not run.startswith("show_")]
    assert {here[run] for run in flows} == {"completed"}, flows


def _without_origin(text: str) -> str:
    """Which target a message is from is all that differs."""
    return re.sub(r"local \S*/warehouse\.duckdb|snowflake fakesnow STREAMING_OPS", "origin", text)


@of(SHORT, LONG)
def test_slack_is_told_the_same_from_both_targets(lives: Lives) -> None:
    here, there = (json.loads(_without_origin(json.dumps(life.posted))) for life in (lives.here, lives.there))
    assert [post["text"] for post in here] == [post["text"] for post in there]
    assert here == there
    told = json.dumps(here)
    for alert in ("collector_failed", "partition_rewound", "unexpected_payload"):
        assert f"*{alert}*: FIRING" in told


@of(LONG)
def test_dbt_makes_the_docs_site(lives: Lives) -> None:
    there = lives.there
    there.run("dbt", "docs", "generate", "--static")
    catalog = json.loads((there.directory / "target" / "catalog.json").read_text())
    assert not catalog["errors"]
    described = {node.split(".")[-1] for node, found in catalog["nodes"].items() if found["columns"]} & set(MODELS)
    # The emulator's catalogue tells no views.
    tables = """select lower(table_name) from STREAMING_OPS.information_schema.tables
        where table_type = 'BASE TABLE' and table_schema in ('ANALYTICS', 'MONITORING')"""
    assert described == {name for (name,) in rows(lives.port, tables)} & set(MODELS)
    landed = {"ORDER_EVENTS", "KAFKA_OFFSETS", "CONNECTOR_STATUS", "COLLECTOR_RUNS"}
    assert landed | {"TEST_RESULTS", "NOTIFICATIONS", "RUN_LEASES", "RUN_STATE"} == {
        source["metadata"]["name"].upper() for source in catalog["sources"].values()
    }
    assert (there.directory / "target" / "static_index.html").stat().st_size > 1_000_000


@pytest.fixture(scope="session")
def statements(lives: Lives) -> dict[str, exp.Expr]:
    """Every statement that went to Snowflake in that life; after a long one, also what the other layout would send."""
    there = lives.there
    sent = json.loads((there.directory / "logs" / "sent.json").read_text())
    if lives.length == "long":
        folder = there.directory / "columns"
        there.run("dbt", "compile", "--vars", "payload_layout: columns", "--target-path", str(folder))
        sent += [path.read_text() for path in (folder / "compiled").rglob("*.sql")]
    distinct: dict[str, str] = {}
    for statement in sent:
        # Without dbt's comment, and with a value where the connector puts one in.
        text = re.sub(r"/\* \{.*?\} \*/", "", statement, flags=re.DOTALL).replace("%s", "null").strip()
        # Of those that differ in numbers and instants alone, one.
        distinct.setdefault(re.sub(r"\b\d+\b|'[^']*\d[^']*'", "?", text), text)
    return {text: sqlglot.parse_one(text, read="snowflake") for text in distinct.values() if text}


@of(SHORT, LONG)
def test_every_function_is_listed_and_each_listed_one_is_called(statements: dict[str, exp.Expr], lives: Lives) -> None:
    """The list is of Snowflake's documentation. A call that is gone may be one that only Snowflake needs."""
    listed = (PROJECT_DIR / "tests/python/snowflake/functions.txt").read_text()
    functions = {line.split()[0] for line in listed.splitlines() if line and not line.startswith("#")}
    called = {
        name.text.upper()
        for text in statements
        for name, bracket in pairwise(sqlglot.tokenize(text, read="snowflake"))
        if bracket.token_type == TokenType.L_PAREN and bracket.start == name.end + 1 and name.text[:1].isalpha()
    }
    assert called - TYPES == functions - (set() if lives.length == "long" else ONLY_LONG)


@of(LONG)
def test_every_statement_is_snowflakes(statements: dict[str, exp.Expr]) -> None:
    """As sqlglot and sqlfluff know it."""
    # As they were sent: one that lands a text with Jinja in it is no template.
    linter = Linter(FluffConfig(overrides={"dialect": "snowflake", "templater": "raw"}))
    for text, parsed in statements.items():
        assert not isinstance(parsed, exp.Command) or text.startswith("show "), text
        tree = linter.parse_string(f"{text}\n")
        assert not tree.violations and tree.tree, (text, tree.violations)
    print(f"{len(statements)} distinct statements")


@of(SHORT, LONG)
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
