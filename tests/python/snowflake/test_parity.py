"""The same project through dbt-snowflake: the real adapter and the real connector, on a Snowflake on loopback.

A life of the stream runs on both targets; then every model must hold the same rows, value by value, every node must
have ended alike, and Slack must have received the same. A short life is in every run of the tests, a long one in
`make test-snowflake`.
"""

import json
import re
from collections import Counter
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from tests.python.snowflake.emulator import rows
from tests.python.snowflake.lives import ALERTS, LONG, MODELS, SHORT, Life, Lives, of

pytestmark = of(SHORT, LONG)


def _local(here: Life) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(here.environment["STREAMING_OPS_DUCKDB_PATH"])
    return connection.execute("set timezone = 'UTC'; set disabled_optimizers = 'statistics_propagation'")


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


def test_slack_is_told_the_same_from_both_targets(lives: Lives) -> None:
    here, there = (json.loads(_without_origin(json.dumps(life.posted))) for life in (lives.here, lives.there))
    assert [post["text"] for post in here] == [post["text"] for post in there]
    assert here == there
    told = json.dumps(here)
    for alert in ("collector_failed", "partition_rewound", "unexpected_payload"):
        assert f"*{alert}*: FIRING" in told
