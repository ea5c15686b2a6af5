"""Tables that an earlier version of the project created get the columns that they lack, and keep their rows."""

import json
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest

from orchestration import runs, steps
from orchestration.outcomes import DbtError
from tests.python.warehouse import PROJECT_DIR, Warehouse
from tests.python.web import Receiver

T1, T2, T3, T4 = (f"2026-03-02T12:{minute}:00Z" for minute in ("02", "03", "04", "10"))
# The columns of each table as an earlier version created it; one that it did not have is empty here.
EARLIER = {
    "STREAMING.KAFKA_OFFSETS": "collected_at, consumer_group, topic, partition, log_start_offset, log_end_offset, "
    "committed_offset",
    "STREAMING.CONNECTOR_STATUS": "collected_at, connector, task_id, state, worker_id, trace",
    "STREAMING.COLLECTOR_RUNS": "",
    "MONITORING.NOTIFICATIONS": "notified_at, receiver, alert, opened_at, kind, level, outcome, reference, problem",
    "MONITORING.TEST_RESULTS": "run_at, run_id, flow_run, node, resource_type, status, level, row_count, failing_rows, "
    "meta",
    "MONITORING.RUN_LEASES": "",
}


def _columns(warehouse: Warehouse, table: str) -> list[str]:
    return [name.lower() for name, *_ in warehouse.sql(f"describe {table}")]


def _sent(slack: Receiver, state: str) -> bool:
    texts = [json.dumps(sent) for sent in slack.received]
    return any("connector_not_running" in text and state in text for text in texts)


def test_alerts_go_on_with_the_tables_of_an_earlier_version(warehouse: Warehouse, slack: Receiver) -> None:
    warehouse.produce(T1, failed_task=1)
    runs.monitor(T1)
    assert _sent(slack, "FIRING")
    now = {table: _columns(warehouse, table) for table in EARLIER}
    kept = {table: columns for table, columns in EARLIER.items() if columns}
    for table in EARLIER:
        create = f"create or replace table {table} as select {kept[table]} from {table}" if table in kept else None
        warehouse.sql(create or f"drop table {table}")
    rows = {table: warehouse.sql(f"select * from {table}") for table in kept}
    assert all(rows.values())

    # As in the first process of the new version.
    steps.project.cache_clear()
    warehouse.dbt.forget()
    slack.received.clear()
    steps.project()
    for at, options in ((T2, {"failed_task": 1}), (T3, {}), (T4, {})):
        warehouse.produce(at, **options)
        runs.monitor(at)
    assert _sent(slack, "esolved")
    for table, names in now.items():
        assert sorted(_columns(warehouse, table)) == sorted(names)
    for table, columns in kept.items():
        found = warehouse.sql(f"select {columns} from {table}")
        assert all(row in found for row in rows[table]), table


def test_a_column_that_only_the_owner_of_a_table_can_add_is_an_error_with_the_statement(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.sql("alter table STREAMING.CONNECTOR_STATUS drop column tasks_max")
    macro: Any = warehouse.dbt._manifest.macros["macro.streaming_ops.duckdb__owns_table"]
    no = "{% macro duckdb__owns_table(table) %}{{ return(false) }}{% endmacro %}"
    monkeypatch.setattr(macro, "macro_sql", no)
    with pytest.raises(DbtError, match=r'alter table \S+CONNECTOR_STATUS"? add column tasks_max integer'):
        warehouse.dbt.run_operation("create_landing_tables", T1)


class Returned(Exception):
    pass


def _macro(name: str, file: str, **context: Any) -> Any:
    """A macro by itself, with a fake of what dbt gives it."""

    def returned(value: Any) -> None:
        raise Returned(value)

    names = {"return": returned, "sql_string": lambda text: f"'{text}'", "target": SimpleNamespace(database="OPS")}
    text = (PROJECT_DIR / "macros" / "engine" / f"{file}.sql").read_text()
    environment = jinja2.Environment(extensions=["jinja2.ext.do"])
    return getattr(environment.from_string(text, names | context).module, name)


def test_snowflake_looks_up_the_columns_of_the_schemas_alone() -> None:
    sql = " ".join(_macro("snowflake__found_columns", "found_columns")("'STREAMING', 'MONITORING'").split())
    assert "(s." not in sql, "a function of a column: Snowflake looks up all schemas"
    for part in (
        "from OPS.information_schema.schemata as s",
        "join OPS.information_schema.columns as c",
        "c.table_schema in ('STREAMING', 'MONITORING')",
        "where s.schema_name in ('STREAMING', 'MONITORING')",
    ):
        assert part in sql


@pytest.mark.parametrize("kind", ["role", "database_role", "neither"])
def test_a_table_may_belong_to_a_role_or_a_database_role_of_the_session(kind: str) -> None:
    def run_query(sql: str) -> Any:
        if "table_owner" in sql:
            assert "from OPS.information_schema.tables" in sql
            return SimpleNamespace(rows=[["CONNECTOR"]])
        return SimpleNamespace(rows=[[sql == f"select is_{kind}_in_session('CONNECTOR')"]])

    table = SimpleNamespace(database="OPS", schema="STREAMING", identifier="KAFKA_OFFSETS")
    with pytest.raises(Returned) as returned:
        _macro("snowflake__owns_table", "owns_table", run_query=run_query)(table)
    assert returned.value.args == (kind != "neither",)
