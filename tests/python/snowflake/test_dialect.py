"""The SQL that is sent to Snowflake: it is Snowflake's, and means there what it means on DuckDB."""

import json
import re
from itertools import pairwise

import pytest
import sqlglot
from sqlfluff.core import FluffConfig, Linter
from sqlglot import exp
from sqlglot.tokens import TokenType

from tests.python.snowflake.emulator import rows
from tests.python.snowflake.lives import LONG, MODELS, SHORT, Lives, of
from tests.python.warehouse import PROJECT_DIR

# Of a backfill, which the short life has not.
ONLY_LONG = {"TO_CHAR"}
# They take a bracket as a function does.
TYPES = {"DECIMAL", "TIMESTAMP_NTZ"}


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
