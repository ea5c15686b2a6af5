"""Faults of the monitor itself: each is one incident, wherever its state is kept, and none is silent."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from orchestration import collectors, runs, settings, steps
from orchestration.collectors.base import Collected
from orchestration.faults import Faults, File
from orchestration.health import health_page
from orchestration.outcomes import DbtError, Outcome, RunCancelled, WarehouseTaken, outcomes_of
from orchestration.runner import _keep
from orchestration.settings import Settings
from tests.python.warehouse import PROJECT_DIR, Warehouse
from tests.python.web import Receiver

BROKEN = [Outcome("dbt", "run", "error", "IO Error: <!channel> no such warehouse")]
ANOTHER = [Outcome("lag", "model", "error", "no such column")]
T1, T2, T3, T4 = (f"2026-03-02T12:{minute:02}:00Z" for minute in (5, 10, 15, 20))


class Memory:
    """A store that survives the processes of a test; one that is down takes and gives nothing."""

    def __init__(self, text: str | None = None) -> None:
        self.text, self.is_down = text, False

    def read(self) -> str | None:
        self._look()
        return self.text

    def write(self, text: str) -> None:
        self._look()
        self.text = text

    def _look(self) -> None:
        if self.is_down:
            raise OSError("down")


@pytest.fixture
def webhook(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    monkeypatch.setenv("ALERT_WEBHOOK_URL", receiver.url)
    return receiver


def _report(stores: list[Any], at: str, problems: list[Outcome], name: str = "monitor-streaming failed") -> Any:
    """As a process of its own would: it knows what the stores know."""
    faults = Faults(f"2026-03-02T{at}:00Z", stores)
    faults.report(name, problems)
    return faults.send(5)


def _kinds(webhook: Receiver) -> list[tuple[str, str]]:
    found = [(sent["alert"], sent["kind"]) for sent in webhook.received]
    webhook.received.clear()
    return found


def test_a_fault_is_notified_once_then_after_hours_and_when_it_is_over(webhook: Receiver) -> None:
    store = Memory()
    for at in ("12:00", "12:05", "15:55", "16:05", "16:10"):
        assert _report([store], at, BROKEN) == []
    for at in ("16:15", "16:20"):
        assert _report([store], at, []) == []
    _report([store], "17:00", BROKEN)
    sent = webhook.received
    assert [s["kind"] for s in sent] == ["firing", "repeated", "resolved", "firing"]
    assert "no such warehouse" in json.dumps(sent[0])
    assert sent[0]["opened_at"] == sent[2]["opened_at"] == "2026-03-02T12:00:00Z"
    assert sent[3]["opened_at"] == "2026-03-02T17:00:00Z"
    # The same incident, by a key that every process gives it.
    (key,) = {s["dedup_key"] for s in sent}
    assert "2026" not in key
    assert "monitor-streaming failed" in key


def test_another_cause_of_a_fault_is_notified_and_the_same_in_other_words_is_not(webhook: Receiver) -> None:
    store = Memory()
    numbered = [[Outcome("dbt", "run", "error", f"IO Error {number} at 12:{number}")] for number in (1, 2)]
    for at, problems in (
        ("12:00", numbered[0]),
        ("12:05", numbered[1]),
        ("12:10", [*BROKEN, *ANOTHER]),
        ("12:15", BROKEN),
        ("12:20", numbered[0]),
    ):
        _report([store], at, problems)
    assert [kind for _, kind in _kinds(webhook)] == ["firing", "widened"]


def test_a_fault_that_no_receiver_took_is_sent_again(webhook: Receiver) -> None:
    store = Memory()
    webhook.answers = [(404, "no", {})]
    (refused,) = _report([store], "12:00", BROKEN)
    assert refused.is_refused
    assert "HTTP 404" in refused.message
    assert _report([store], "12:05", BROKEN) == []
    assert [sent["opened_at"] for sent in webhook.received] == ["2026-03-02T12:00:00Z"] * 2


def test_a_receiver_that_is_no_longer_there_is_not_notified_that_a_fault_is_over(
    webhook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Memory()
    monkeypatch.setenv("SLACK_WEBHOOK_URL", webhook.url)  # the same server takes both
    _report([store], "12:00", BROKEN)
    assert len(webhook.received) == 2
    monkeypatch.delenv("SLACK_WEBHOOK_URL")
    webhook.received.clear()
    for at in ("12:05", "12:10"):
        assert _report([store], at, []) == []
    assert [kind for _, kind in _kinds(webhook)] == ["resolved"]


@pytest.mark.parametrize(
    "text",
    [
        *("[]", "null", "7", '"text"', "{", "\x00", '{"monitor-streaming failed": null}'),
        '{"monitor-streaming failed": []}',
        '{"monitor-streaming failed": {"is_open": true, "opened_at": 5, "stored_at": "", "sent": {"webhook": null}}}',
        '{"monitor-streaming failed": {"is_open": true, "opened_at": "soon", "stored_at": "9", "sent": {}}}',
        '{"monitor-streaming failed": {"is_open": true, "opened_at": "2026-03-02", "stored_at": "9", '
        '"sent": {"webhook": {"at": "2026-03-02"}}}}',
    ],
)
def test_a_state_of_any_content_stops_no_notification(webhook: Receiver, text: str) -> None:
    store = Memory(text)
    _report([store], "12:00", BROKEN)
    _report([store], "12:05", BROKEN)
    _report([store], "12:10", [])
    assert [kind for _, kind in _kinds(webhook)] == ["firing", "resolved"]


def test_every_store_keeps_what_was_sent_and_the_newest_state_wins(webhook: Receiver) -> None:
    warehouse, variable = Memory(), Memory()
    warehouse.is_down = True
    _report([warehouse, variable], "12:00", BROKEN)
    warehouse.is_down = False
    assert warehouse.text is None
    _report([warehouse, variable], "12:05", BROKEN)
    _report([warehouse, variable], "12:10", [])
    # Whichever the next run reaches.
    for store in (warehouse, variable):
        _report([store], "12:15", [])
    assert [kind for _, kind in _kinds(webhook)] == ["firing", "resolved"]


def test_of_two_states_the_newest_counts_whichever_store_has_it(webhook: Receiver) -> None:
    early, late = Memory(), Memory()
    _report([early, late], "12:00", BROKEN)
    old = str(early.text)
    _report([early, late], "12:05", [])
    _report([early, late], "12:10", [])
    assert [kind for _, kind in _kinds(webhook)] == ["firing", "resolved"]
    for stores in ([Memory(old), late], [late, Memory(old)]):
        _report(stores, "12:15", [])
        _report(stores, "12:20", [])
    assert _kinds(webhook) == []


def test_a_state_that_a_wrong_clock_has_dated_in_the_future_does_not_win(webhook: Receiver) -> None:
    store = Memory()
    _report([store], "12:00", BROKEN)
    store.text = str(store.text).replace('"stored_at": "20', '"stored_at": "30')
    old = Memory(store.text)
    for at, problems in (("12:05", BROKEN), ("12:10", []), ("12:15", []), ("12:20", [])):
        _report([store, old], at, problems)
    assert [kind for _, kind in _kinds(webhook)] == ["firing", "resolved"]


def test_without_any_store_a_fault_is_sent_again_with_the_same_key(webhook: Receiver) -> None:
    store = Memory()
    store.is_down = True
    for at in ("12:00", "12:05"):
        assert _report([store], at, BROKEN) == []
    assert [sent["kind"] for sent in webhook.received] == ["firing", "firing"]
    assert len({sent["dedup_key"] for sent in webhook.received}) == 1


def test_the_file_survives_dbt_clean_and_what_lies_in_its_place(
    webhook: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path / "logs"))
    for at in ("12:00", "12:05"):
        _report([File()], at, BROKEN)
        shutil.rmtree(os.environ["DBT_TARGET_PATH"], ignore_errors=True)
    assert [kind for _, kind in _kinds(webhook)] == ["firing"]
    (file,) = (tmp_path / "logs").iterdir()
    file.unlink()
    file.mkdir()
    _report([File()], "12:10", BROKEN)
    assert [kind for _, kind in _kinds(webhook)] == ["firing"]


def test_the_file_is_of_its_user_alone_and_follows_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path / "logs"))
    store, other = File(), tmp_path / "other"
    other.write_text("kept")
    store._path().symlink_to(other)
    store._path().with_suffix(".new").symlink_to(other)
    store.write("{}")
    assert (other.read_text(), store.read()) == ("kept", "{}")
    assert store._path().stat().st_mode & 0o777 == 0o600
    # What cannot be kept leaves nothing.
    store._path().unlink()
    store._path().mkdir()
    files = sorted(store._path().parent.iterdir())
    with pytest.raises(OSError, match="directory"):
        store.write("{}")
    assert sorted(store._path().parent.iterdir()) == files


def test_where_nothing_can_be_written_a_fault_is_sent(
    webhook: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", Mock(side_effect=FileNotFoundError))
    assert _report([File()], "12:00", BROKEN) == []
    (sent,) = webhook.received
    assert "(no log could be written)" in json.dumps(sent)
    with pytest.raises(OSError, match="no folder"):
        File().write("{}")
    _keep([])
    assert "Log: (no log could be written) on here." in health_page(None, T1, None, "here")


def test_each_warehouse_has_a_file_of_its_own(
    webhook: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path))
    _report([File()], "12:00", BROKEN)
    monkeypatch.setenv("STREAMING_OPS_SCHEMA_PREFIX", "STAGING_")
    _report([File()], "12:05", [])
    _report([File()], "12:05", BROKEN)
    keys = [sent["dedup_key"] for sent in webhook.received]
    assert len(keys) == len(set(keys)) == 2


def test_a_prefect_variable_keeps_it_where_the_warehouse_does_not(webhook: Receiver) -> None:
    from prefect.testing.utilities import prefect_test_harness

    from orchestration.faults import PrefectVariable

    with prefect_test_harness(server_startup_timeout=180):
        for at, problems in (("12:00", BROKEN), ("12:05", BROKEN), ("12:10", [])):
            assert _report([PrefectVariable()], at, problems) == []
    assert [kind for _, kind in _kinds(webhook)] == ["firing", "resolved"]


def test_a_receiver_that_refuses_is_reported_to_the_others_and_that_it_accepts_again(
    webhook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The delivery of alerts says so, and so does the report of another fault."""
    store = Memory()
    monkeypatch.setenv("PAGERDUTY_ROUTING_KEY", "R0" + "a" * 30)
    monkeypatch.setenv("PAGERDUTY_URL", "https://127.0.0.1:9/")

    def delivered(at: str, status: str) -> list[Outcome]:
        faults = Faults(f"2026-03-02T{at}:00Z", [store])
        faults.receiver(Outcome("pagerduty", "receiver", status, "HTTP 404"))
        return faults.send(5)

    for at in ("12:00", "12:05"):
        assert [outcome.name for outcome in delivered(at, "refused")] == ["pagerduty"]
    assert delivered("12:10", "success") == []
    assert delivered("12:15", "success") == []
    assert _kinds(webhook) == [
        ("pagerduty refuses notifications", "firing"),
        ("pagerduty refuses notifications", "resolved"),
    ]


def test_a_receiver_that_does_not_answer_is_asked_once_in_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not again for the trouble of another one, nor in the second half."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"http://127.0.0.1:{silent.getsockname()[1]}/services/x"
        monkeypatch.setenv("SLACK_WEBHOOK_URL", place)
        monkeypatch.setenv("ALERT_WEBHOOK_URL", place)
        faults = Faults("2026-03-02T12:00:00Z", [Memory()])
        for name in ("monitor-streaming failed", "streaming-dbt-transform failed"):
            faults.report(name, BROKEN)
            faults.report("settings are wrong", BROKEN)
            faults.send(1)
        silent.setblocking(False)
        asked = 0
        with contextlib.suppress(BlockingIOError):
            while silent.accept():
                asked += 1
    assert asked == 2


class Here:
    """Steps that come to what a test says, and a warehouse that remembers."""

    def __init__(self) -> None:
        self.problems: list[Outcome] = []
        self.stores: list[Any] = []
        self.state: dict[str, Any] = {"values": {}, "evaluated_at": None, "repaired": False, "broken": []}
        self.built = [Outcome("lag", "test", "pass", "", is_alert=True)]
        self.findings: list[Outcome] = []
        self.asked: list[str] = []

    def call(self, name: str, *args: Any, **_: Any) -> Any:
        self.asked.append(name)
        if name == "remember":
            self.state["values"][args[0]] = args[1]
        return {"run_state": self.state, "wrong_seeds": self.findings, "has_landed": True}.get(name)

    def step(self, title: str, name: str, *args: Any, **_: Any) -> list[Outcome]:
        self.asked.append(name)
        return list(self.built) if name == "build" else []


def test_a_tick_that_evaluated_no_alert_is_a_failure(webhook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setenv("HEARTBEAT_URL", "http://127.0.0.1:9/beat")
    monkeypatch.setattr("orchestration.receivers.ping", lambda url: asked.append("heartbeat"))
    here = Here()
    here.built = [Outcome("consumer_lag", "model", "success", "")]
    with pytest.raises(DbtError, match="No alert was evaluated"):
        runs.tick(T1, here)
    assert asked == []
    here.built = Here().built
    runs.tick(T2, here)
    assert asked == ["heartbeat"]
    assert _kinds(webhook) == [("monitor-streaming failed", "firing"), ("monitor-streaming failed", "resolved")]


def test_a_warehouse_out_of_reach_is_one_fault_and_asked_once(
    webhook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Here()
    here.stores = [Memory()]

    def call(name: str, *_: Any) -> Any:
        here.asked.append(name)
        raise DbtError("250001: could not connect")

    monkeypatch.setattr(here, "call", call)
    for at in (T1, T2):
        with pytest.raises(DbtError, match="250001"):
            runs.tick(at, here)
    assert here.asked == ["run_state"] * 2
    assert _kinds(webhook) == [("monitor-streaming failed", "firing")]


def test_a_cancelled_run_is_no_outcome() -> None:
    for error in (RunCancelled("cancelled"), WarehouseTaken("dbt has it")):
        with pytest.raises(type(error)):
            outcomes_of(Mock(side_effect=error), "monitor")


def test_what_nobody_thought_of_is_reported_too(webhook: Receiver) -> None:
    here = Here()
    here.built = outcomes_of(lambda: {}["missing"], "dbt build")
    with pytest.raises(DbtError, match="KeyError: 'missing'") as error:
        runs.tick(T1, here)
    assert str(error.value).count("KeyError") == 1
    # What was sent before is known as of the marks of a run, and this run has none.
    assert "deliver" not in here.asked
    failed = [("monitor-streaming failed", "firing"), ("streaming-dbt-transform failed", "firing")]
    assert _kinds(webhook) == failed
    here.built = Here().built
    runs.tick(T2, here)
    assert _kinds(webhook) == [(name, "resolved") for name, _ in failed]


def test_evaluations_of_the_future_are_reported_once_unless_somebody_asked_for_the_past(webhook: Receiver) -> None:
    here = Here()
    here.state["evaluated_at"] = "2026-03-03 12:05:00"
    runs.monitor(T1, here, is_live=False)
    assert webhook.received == []
    for at in (T1, T2):
        runs.monitor(at, here)
    here.state["evaluated_at"] = "2026-03-02 12:18:00"  # within an interval
    runs.monitor(T3, here)
    assert _kinds(webhook) == [("clock is wrong", "firing"), ("clock is wrong", "resolved")]


def test_a_wrong_setting_is_reported_by_itself_and_the_tick_goes_on(
    webhook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMING_OPS_MIN_EVENTS", "ten")
    here = Here()
    with pytest.raises(DbtError) as error:
        runs.tick(T1, here)
    assert str(error.value).count("STREAMING_OPS_MIN_EVENTS is 'ten'") == 1
    assert here.asked.count("build") == 2
    monkeypatch.delenv("STREAMING_OPS_MIN_EVENTS")
    runs.tick(T2, here)
    assert _kinds(webhook) == [("settings are wrong", "firing"), ("settings are wrong", "resolved")]


def test_another_moment_reports_no_fault_and_asks_for_no_heartbeat(
    webhook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setenv("HEARTBEAT_URL", "http://127.0.0.1:9/beat")
    monkeypatch.setattr("orchestration.receivers.ping", asked.append)
    here = Here()
    runs.tick(T1, here, is_live=False)
    here.built = [*here.built, Outcome("lag", "model", "error", "no such column")]
    with pytest.raises(DbtError, match="no such column"):
        runs.tick(T1, here, is_live=False)
    assert asked == webhook.received == []


def test_a_setting_that_blocks_the_warehouse_is_one_fault(webhook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMING_OPS_SCHEMA_PREFIX", "ana-")
    (problem,) = Settings().problems
    here = Here()

    def call(name: str, *_: Any) -> Any:
        raise DbtError(str(problem))

    monkeypatch.setattr(here, "call", call)
    with pytest.raises(DbtError, match="STREAMING_OPS_SCHEMA_PREFIX"):
        runs.tick(T1, here)
    assert _kinds(webhook) == [("settings are wrong", "firing")]


def test_a_seed_that_dbt_cannot_read_is_named(
    webhook: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "seeds").mkdir()
    for file in (PROJECT_DIR / "seeds").iterdir():
        shutil.copy(file, tmp_path / "seeds")
    for name in ("dbt_project.yml", "profiles.example.yml", "models", "macros", "tests"):
        (tmp_path / name).symlink_to(PROJECT_DIR / name)
    (tmp_path / "seeds" / "silences.csv").write_bytes(
        b"alert,entity,starts_at,ends_at,created_by,comment\nj\xfcrgen,,,,,\n"
    )
    monkeypatch.setattr(runs, "PROJECT_DIR", tmp_path)
    here = Here()

    def call(name: str, *_: Any) -> Any:
        raise DbtError("'utf-8' codec can't decode byte 0xfc")

    monkeypatch.setattr(here, "call", call)
    with pytest.raises(DbtError, match="codec"):
        runs.monitor(T1, here)
    (found,) = [sent for sent in webhook.received if sent["alert"] == "seeds are wrong"]
    assert "silences.csv line 2" in json.dumps(found)


def test_findings_in_seeds_are_sent_once_and_fail_no_run(webhook: Receiver) -> None:
    here = Here()
    here.findings.append(Outcome("silences.csv:2", "seed", "finding", "line 2: no alert is called lagg"))
    for minute in range(5, 60, 5):
        runs.tick(f"2026-03-02T12:{minute:02}:00Z", here)
        runs.tick(f"2026-03-02T18:{minute:02}:00Z", here)
    here.findings.append(Outcome("alert_routes.csv:3", "seed", "finding", "line 3: no receiver is called slak"))
    runs.tick("2026-03-02T19:00:00Z", here)
    here.findings.clear()
    runs.tick("2026-03-02T19:05:00Z", here)
    assert _kinds(webhook) == [("seeds are wrong", kind) for kind in ("firing", "widened", "resolved")]


# --- with the warehouse


def test_what_was_sent_of_a_fault_survives_the_machine(
    warehouse: Warehouse, webhook: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each tick has another log folder and another target folder, as in a new container."""
    warehouse.sql("drop view MONITORING.WATCH_LATENCY", "create table MONITORING.WATCH_LATENCY as select 1 as x")
    for at in (T1, T2):
        monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path / at))
        warehouse.produce(at)
        warehouse.dbt.built.forget()
        with pytest.raises(DbtError, match=r"(?i)watch_latency"):
            runs.monitor(at)
    warehouse.sql("drop table MONITORING.WATCH_LATENCY")
    warehouse.produce(T3)
    runs.monitor(T3)
    faults = [(alert, kind) for alert, kind in _kinds(webhook) if alert.endswith("failed")]
    assert faults == [("monitor-streaming failed", "firing"), ("monitor-streaming failed", "resolved")]


def test_a_state_that_cannot_be_read_or_written_hides_nothing(warehouse: Warehouse, webhook: Receiver) -> None:
    warehouse.sql("drop table MONITORING.RUN_STATE", "create table MONITORING.RUN_STATE (x int)")
    warehouse.produce(T1, failed_task=1)
    here = runs.InProcess()
    here.problems = BROKEN
    runs.monitor(T1, here)
    assert sorted(_kinds(webhook)) == [("Prefect API does not answer", "firing"), ("connector_not_running", "firing")]


@pytest.mark.parametrize("place", ["environment", "by hand", "interrupted"])
def test_options_of_dbt_in_the_environment_do_not_reach_a_run(
    warehouse: Warehouse, webhook: Receiver, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """... and a build by hand that leaves views empty is repaired and reported."""
    warehouse.produce(T1, failed_task=1)
    options = {
        "DBT_RESOURCE_TYPES": "model",
        "DBT_EXCLUDE_RESOURCE_TYPES": "test",
        "DBT_EMPTY": "1",
        "DBT_ENGINE_EMPTY": "1",
        "DBT_SAMPLE": "3 days",
        "DBT_FULL_REFRESH": "1",
        "DBT_WARN_ERROR": "1",
        "DBT_FAIL_FAST": "1",
        "DBT_INDIRECT_SELECTION": "empty",
    }
    events = warehouse.sql("select count(*) from ANALYTICS.FCT_ORDER_EVENTS")
    if place == "environment":
        for name, value in options.items():
            monkeypatch.setenv(name, value)
    elif place == "interrupted":
        # Before it has built what the views of the batch read, and without its end.
        warehouse.dbt.close()
        _interrupted(warehouse)
    else:
        warehouse.dbt.close()
        where = ["--project-dir", str(PROJECT_DIR), "--vars", "{as_of: '2026-03-02T12:03:00Z'}"]
        subprocess.run(["dbt", "--quiet", "run", "--empty", *where], cwd=PROJECT_DIR, check=True)
        assert warehouse.sql("select count(*) from ANALYTICS.FCT_ORDER_EVENTS") == [(0,)]
    runs.tick(T1)
    assert warehouse.sql("select count(*) from ANALYTICS.FCT_ORDER_EVENTS") > events
    runs.tick(T2)
    sent = _kinds(webhook)
    assert sent.count(("connector_not_running", "firing")) == 1
    repaired = [("views returned no rows", "firing"), ("views returned no rows", "resolved")]
    assert [s for s in sent if s[0] == "views returned no rows"] == ([] if place == "environment" else repaired)


def _interrupted(warehouse: Warehouse) -> None:
    code = """
import os, signal
from dbt.cli.main import dbtRunner
from tests.python.warehouse import PROJECT_DIR
def die(event):
    if event.info.name == "LogModelResult" and event.data.node_info.node_name == "fct_order_events":
        os.kill(os.getpid(), signal.SIGKILL)
where = ["--project-dir", str(PROJECT_DIR), "--vars", "{as_of: '2026-03-02T12:03:00Z'}"]
dbtRunner(callbacks=[die]).invoke(["--quiet", "run", "--empty", *where])
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert warehouse.sql("select count(*) from ANALYTICS.FCT_ORDER_EVENTS") == [(0,)]


def test_ticks_of_the_future_resolve_mute_and_open_nothing(warehouse: Warehouse, webhook: Receiver) -> None:
    for minute in ("05", "10"):
        runs.monitor(f"2026-03-03T12:{minute}:00Z")
    webhook.received.clear()
    for at, failed_task in ((T1, 1), (T2, 1), (T3, None), (T4, None)):
        warehouse.produce(at, failed_task=failed_task)
        runs.monitor(at)
    sent = _kinds(webhook)
    assert sent == [
        ("connector_not_running", "firing"),
        ("clock is wrong", "firing"),
        ("connector_not_running", "resolved"),
    ]


def test_a_tick_of_the_past_collects_nothing_and_says_where_nothing_is(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    found = {"connector_status": lambda *_: asked.append("status") or Collected([])}
    monkeypatch.setattr(collectors, "configured", lambda _: found)
    runs.monitor(T1, is_live=False)
    assert asked == []
    runs.monitor(T1)
    assert asked == ["status"]
    with pytest.raises(DbtError, match="before all data"):
        runs.monitor("2020-01-01T00:00:00Z", is_live=False)


def test_now_is_live_and_another_moment_is_not() -> None:
    assert settings.is_now(None)
    assert settings.is_now(settings.parse_as_of(None))
    assert not settings.is_now("2026-03-02T12:05:00Z")


def test_the_night_before_the_first_tick_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warehouse: Warehouse
) -> None:
    warehouse.dbt.close()
    monkeypatch.setenv("STREAMING_OPS_DUCKDB_PATH", str(tmp_path / "new" / "warehouse.duckdb"))
    (tmp_path / "new").mkdir()
    warehouse.dbt.built.forget()
    # As a process of its own would.
    steps.project.cache_clear()
    runs.nightly(T1)
