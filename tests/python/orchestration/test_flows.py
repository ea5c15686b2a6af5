"""The flows under a Prefect server: what completes, what fails, and who is told."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, LogFilter
from prefect.client.schemas.objects import FlowRun, State
from prefect.testing.utilities import prefect_test_harness

from orchestration import collectors, flows, runs
from orchestration.collectors.base import Collected
from orchestration.faults import File
from orchestration.outcomes import DbtError, WarehouseTaken
from orchestration.runner import Dbt
from orchestration.settings import parse_as_of
from tests.python.warehouse import Warehouse
from tests.python.web import Receiver, text_of

T1 = "2026-03-02T12:12:00Z"


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The moments of these tests are the present."""
    monkeypatch.setattr(flows, "is_now", lambda _: True)


@pytest.fixture(scope="module")
def prefect() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=180):
        yield


def _flow_run(state: Any) -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(state.state_details.flow_run_id)


def _tasks(run: FlowRun) -> dict[str, str]:
    """Name and state of each."""
    with get_client(sync_client=True) as client:
        for _ in range(50):
            found = client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [run.id]}))
            if found and all(task.state and task.state.is_final() for task in found):
                break
            time.sleep(0.2)
        return {task.name: task.state.name for task in found if task.state}


def _logs(run: FlowRun) -> list[str]:
    logs: list[str] = []
    with get_client(sync_client=True) as client:
        for _ in range(50):
            found = client.read_logs(LogFilter(flow_run_id={"any_": [run.id]}), limit=200)
            logs = [log.message for log in found]
            if any(("Finished in state" in text and "All steps" in text) or "Failed" in text for text in logs):
                return logs
            time.sleep(0.2)
    return logs


def _artifacts(run: FlowRun) -> dict[str, str]:
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(flow_run_filter=FlowRunFilter(id={"any_": [run.id]}))
        return {artifact.key: str(artifact.data) for artifact in found}


def _tick(warehouse: Warehouse) -> State:
    """A tick as `serve` runs it, dbt in a process of its own: which opens the file that is closed here."""
    warehouse.dbt.close()
    return flows.streaming_tick(T1, return_state=True)


@pytest.mark.usefixtures("prefect")
def test_a_firing_alert_is_posted_and_leaves_the_tick_completed(warehouse: Warehouse, slack: Receiver) -> None:
    warehouse.produce(T1, failed_task=1)
    state = _tick(warehouse)
    assert state.is_completed()
    (sent,) = slack.received
    assert "snowflake-orders-sink task 1: FAILED, expected RUNNING" in text_of(sent)
    # The transform ran after the alert.
    assert warehouse.dbt.query("{{ pending_records() }}", T1) == [{"pending": 0, "is_partial": False}]
    run = _flow_run(state)
    assert run.name == "tick 2026-03-02 12:12"
    assert run.id and f"/runs/flow-run/{run.id}" in str(sent)
    names = ["collect", "dbt build tag:monitoring", "send notifications", "dbt build tag:streaming"]
    assert _tasks(run) == dict.fromkeys(names, "Completed")
    logs = "\n".join(_logs(run))
    assert re.search(r"PASS consumer_lag_above_limit", logs)
    assert re.search(r"FAIL 2 connector_not_running", logs)
    artifacts = _artifacts(run)
    assert '"alert": "connector_not_running", "state": "ERROR"' in artifacts["alerts"]
    assert "1 of 17 alerts need attention" in artifacts["stream-health"]
    assert r"| connector\_not\_running | ERROR |" in artifacts["stream-health"]


@pytest.mark.usefixtures("prefect")
def test_broken_sql_fails_its_task_alone_is_posted_and_does_not_stop_the_transform(
    warehouse: Warehouse, slack: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path / "logs"))
    warehouse.produce(T1)
    warehouse.sql(
        "drop view MONITORING.WATCH_LATENCY",
        "create table MONITORING.WATCH_LATENCY as select 1 as x",
        "alter table MONITORING.ORDER_EVENT_BUCKETS drop column max_offset",
    )
    warehouse.sql(
        "alter table MONITORING.ORDER_EVENT_BUCKETS add column max_offset varchar",
        "update MONITORING.ORDER_EVENT_BUCKETS set max_offset = 'broken'",
    )
    state = _tick(warehouse)
    assert state.is_failed()
    run = _flow_run(state)
    assert [name for name, ended in _tasks(run).items() if ended == "Failed"] == ["dbt build tag:monitoring"]
    logs = _logs(run)
    assert not [text for text in logs if "Traceback" in text]
    broken = [text for text in logs if "ERROR creating sql incremental model MONITORING.LANDED_OFFSETS" in text]
    assert len(broken) <= 1
    assert "**The run failed.**" in _artifacts(run)["stream-health"]
    text = text_of(slack.received[0])
    assert "error" in text
    # The message names the log, which has the statement and what the warehouse said.
    file = tmp_path / "logs" / "streaming-ops.log"
    assert str(file) in text
    log = file.read_text()
    statement, _, said = log.partition("Compilation Error in model landed_offsets")
    assert "max(recent_buckets.max_offset) as landed_offset" in statement
    assert "landed_offset" in said
    assert warehouse.dbt.query("{{ pending_records() }}", T1) == [{"pending": 0, "is_partial": False}]


@pytest.mark.usefixtures("prefect")
def test_a_refused_webhook_fails_the_tick_and_says_what_to_do(warehouse: Warehouse, slack: Receiver) -> None:
    warehouse.produce(T1, failed_task=1)
    slack.answers = [(404, "no_service", {})]
    state = _tick(warehouse)
    assert state.is_failed()
    assert "make a new one" in state.message
    assert [n for n, ended in _tasks(_flow_run(state)).items() if ended == "Failed"] == ["send notifications"]


def test_a_warehouse_out_of_reach_is_told_and_raised(
    warehouse: Warehouse, slack: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMING_OPS_DUCKDB_PATH", "/nowhere/warehouse.duckdb")
    with pytest.raises(DbtError, match="nowhere"):
        runs.monitor(T1)
    assert "nowhere" in text_of(slack.received[0])


def test_ticks_that_are_skipped_in_a_row_are_reported_once(
    slack: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows, "_STORES", [File()])
    monkeypatch.setattr(flows, "_skips", [])
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path))
    for minute in range(5):
        flows._report_skips("tick", f"2026-03-02T12:0{minute}:00Z", WarehouseTaken("dbt has it"))
    (sent,) = slack.received
    assert "ticks are skipped" in str(sent) and "dbt has it" in str(sent)


def test_the_transform_waits_for_min_events(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse.produce(T1)
    pending = warehouse.dbt.query("{{ pending_records() }}", T1)[0]["pending"]
    monkeypatch.setenv("STREAMING_OPS_MIN_EVENTS", str(pending + 1))
    warehouse.transform(T1)
    assert warehouse.dbt.query("{{ pending_records() }}", T1)[0]["pending"] == pending
    monkeypatch.setenv("STREAMING_OPS_MIN_EVENTS", str(pending))
    warehouse.transform(T1)
    assert warehouse.dbt.query("{{ pending_records() }}", T1)[0]["pending"] == 0


def test_a_structural_test_that_fails_is_a_fault(warehouse: Warehouse, slack: Receiver) -> None:
    warehouse.sql("insert into ANALYTICS.FCT_ORDERS from ANALYTICS.FCT_ORDERS order by last_event_at desc limit 1")
    warehouse.produce(T1)
    with pytest.raises(DbtError, match="unique_fct_orders_order_id"):
        warehouse.transform(T1)
    assert "unique_fct_orders_order_id" in text_of(slack.received[0])


def test_a_collector_that_fails_is_no_fault_and_the_others_land(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.produce(T1)
    warehouse.sql("delete from STREAMING.COLLECTOR_RUNS")
    row = {
        "consumer_group": "g",
        "topic": "orders",
        "partition": 0,
        "log_start_offset": 0,
        "log_end_offset": 5,
        "committed_offset": None,
    }
    refused = Collected(problems=["401 Unauthorized: check KAFKA_CONNECT_USER"])
    found = {"kafka_offsets": lambda *_: Collected([row]), "connector_status": lambda *_: refused}
    monkeypatch.setattr(collectors, "configured", lambda _: found)
    runs.monitor(T1)
    assert warehouse.sql("select collector, row_count, error from STREAMING.COLLECTOR_RUNS order by 1") == [
        ("connector_status", 0, "401 Unauthorized: check KAFKA_CONNECT_USER"),
        ("kafka_offsets", 1, None),
    ]
    assert warehouse.sql(
        "select log_end_offset, committed_offset from STREAMING.KAFKA_OFFSETS where consumer_group = 'g'"
    ) == [(5, None)]


def test_a_file_that_another_process_holds_is_an_error_that_says_so(
    base_warehouse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess
    import sys

    code = (
        f"import duckdb, time; c = duckdb.connect({str(base_warehouse)!r}); print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        monkeypatch.setenv("STREAMING_OPS_DUCKDB_PATH", str(base_warehouse))
        with pytest.raises(DbtError, match=f"in use by another process.*PID {holder.pid}"):
            Dbt().query("select 1", T1)
        holder.kill()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-02T12:00:00Z", "2026-03-02T12:00:00Z"),
        ("2026-03-02T13:00:00+01:00", "2026-03-02T12:00:00Z"),
        ("2026-03-02 12:00", "2026-03-02T12:00:00Z"),
    ],
)
def test_as_of_is_utc(text: str, expected: str) -> None:
    assert parse_as_of(text) == expected


def test_an_as_of_that_is_no_instant_is_refused() -> None:
    with pytest.raises(ValueError, match="as-of takes ISO 8601"):
        parse_as_of("noon")


def test_an_as_of_far_ahead_is_refused() -> None:
    ahead = datetime.now(UTC) + timedelta(minutes=4)
    assert parse_as_of(ahead.isoformat()) == f"{ahead:%Y-%m-%dT%H:%M:%SZ}"
    with pytest.raises(ValueError, match="more than five minutes ahead"):
        parse_as_of((ahead + timedelta(minutes=2)).isoformat())
