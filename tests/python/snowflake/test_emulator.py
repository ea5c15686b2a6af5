"""The emulator itself, and what of Snowflake's set-up it can try."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import snowflake.connector
import sqlfluff
import sqlglot
import yaml
from sqlglot import exp

from tests.python.snowflake import emulator
from tests.python.snowflake.emulator import GAPS, Gap, connect, rows
from tests.python.snowflake.lives import Life
from tests.python.warehouse import PROJECT_DIR

pytestmark = pytest.mark.snowflake


@pytest.fixture(scope="module")
def port_without_gaps_filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    server, port = emulator.start(tmp_path_factory.mktemp("pure"), "--with-gaps")
    yield port
    server.kill()


@pytest.mark.parametrize("gap", GAPS, ids=lambda gap: gap.name)
def test_a_gap_is_filled_and_still_needed(gap: Gap, port: int, port_without_gaps_filled: int) -> None:
    assert rows(port, gap.shown_by) == gap.expected
    try:
        found = rows(port_without_gaps_filled, gap.shown_by)
    except snowflake.connector.errors.Error:
        found = None
    assert found != gap.expected, f"fakesnow can do this now: delete the gap '{gap.name}' from emulator.py"


def test_a_session_that_could_lose_rows_is_refused(port_without_gaps_filled: int, tmp_path: Path) -> None:
    """There the parameter is not set."""
    remote = Life(tmp_path, emulator.environment(tmp_path, port_without_gaps_filled))
    with pytest.raises(AssertionError, match="alter user streaming_ops_monitor set transaction_abort_on_error = true"):
        remote.run("dbt", "run-operation", "create_landing_tables")


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
