"""Tables that an earlier version of the project created get the columns that they lack, and keep their rows."""

import json
from typing import Any

import pytest

from orchestration import runs, steps
from orchestration.outcomes import DbtError
from orchestration.tests.conftest import Receiver, Warehouse

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
