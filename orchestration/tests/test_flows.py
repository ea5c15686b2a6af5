"""The flows under a Prefect server: what completes, what fails, and who is told."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect.testing.utilities import prefect_test_harness

from orchestration import collectors
from orchestration.collectors.base import Collected
from orchestration.notify import DeliveryError
from orchestration.runner import Dbt, DbtError
from orchestration.settings import parse_as_of
from orchestration.tests.conftest import Receiver, Warehouse

T1 = "2026-03-02T12:12:00Z"


@pytest.fixture(scope="module")
def prefect() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=180):
        yield


def _text(sent: dict[str, Any]) -> str:
    return "\n".join(block["text"]["text"] for block in sent["blocks"] if "text" in block)


@pytest.mark.usefixtures("prefect")
def test_a_firing_alert_is_posted_and_leaves_the_tick_completed(warehouse: Warehouse, slack: Receiver) -> None:
    warehouse.produce(T1, failed_task=1)
    state = warehouse.flows.streaming_tick(T1, return_state=True)
    assert state.is_completed()
    (sent,) = slack.received
    assert "snowflake-orders-sink task 1: FAILED, expected RUNNING" in _text(sent)
    # The transform ran after the alert.
    assert warehouse.dbt.query("{{ pending_records() }}", T1) == [{"pending": 0, "is_partial": False}]


@pytest.mark.usefixtures("prefect")
def test_broken_sql_fails_the_tick_is_posted_and_does_not_stop_the_transform(
    warehouse: Warehouse, slack: Receiver
) -> None:
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
    state = warehouse.flows.streaming_tick(T1, return_state=True)
    assert state.is_failed()
    assert "error" in _text(slack.received[0])
    assert warehouse.dbt.query("{{ pending_records() }}", T1) == [{"pending": 0, "is_partial": False}]


@pytest.mark.usefixtures("prefect")
def test_a_refused_webhook_fails_the_tick_and_says_what_to_do(warehouse: Warehouse, slack: Receiver) -> None:
    warehouse.produce(T1, failed_task=1)
    slack.answers = [(404, "no_service", {})]
    state = warehouse.flows.streaming_tick(T1, return_state=True)
    assert state.is_failed()
    with pytest.raises(DeliveryError, match="make a new one"):
        state.result()


def test_a_warehouse_out_of_reach_is_told_and_raised(
    warehouse: Warehouse, slack: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMING_OPS_DUCKDB_PATH", "/nowhere/warehouse.duckdb")
    with pytest.raises(DbtError, match="nowhere"):
        warehouse.flows.monitor_streaming.fn(T1)
    assert "nowhere" in _text(slack.received[0])


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
    assert "unique_fct_orders_order_id" in _text(slack.received[0])


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
    warehouse.flows.monitor_streaming.fn(T1)
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
