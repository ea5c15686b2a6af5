"""Processes of runs: one that hangs, one that is killed, one whose owner dies; and who waits for whom."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import duckdb
import pytest

from orchestration import process, runs
from orchestration.guard import FileGuard, guarded, owner
from orchestration.machine import is_gone
from orchestration.outcomes import DbtError, RunCancelled, RunInfo, WarehouseTaken, run_as
from orchestration.process import WARM, session
from orchestration.settings import as_cron, evaluation_interval, log_dir
from tests.python.warehouse import PROJECT_DIR, T0, copy_again
from tests.python.web import Receiver

# A query that nothing ends: DuckDB looks for no timeout in it.
_HANGS = """
create or replace view ANALYTICS.STG_STREAMING__COLLECTOR_RUNS as
select collector_runs.* from STREAMING.COLLECTOR_RUNS as collector_runs
where (select count(*) from range(1000000000000000) as numbers (n) where n % 7 = 3) > 0
"""
T1 = "2026-03-02T12:12:00Z"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The warm process goes on from test to test while the environment, in which this place is, stays the same."""
    yield tmp_path_factory.mktemp("process")
    WARM.stop()


@pytest.fixture
def file(place: Path, base_warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A warehouse that no process has open."""
    file = copy_again(base_warehouse, place)
    monkeypatch.setenv("STREAMING_OPS_DUCKDB_PATH", str(file))
    return file


def _lock(file: Path) -> dict[str, Any]:
    text = file.with_name(f"{file.name}.lock").read_text()
    return json.loads(text) if text else {}


def _ends(pid: int) -> bool:
    """A process that was killed is there until the warm process has looked after it."""
    end = time.monotonic() + 20
    while not is_gone(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return is_gone(pid)


def test_a_run_has_a_process_of_its_own_and_leaves_the_file_free(file: Path) -> None:
    with session("tick") as here:
        here.open()
        assert _lock(file)["what"] == "tick"
        assert _lock(file)["pid"] not in (os.getpid(), os.getppid())
        outcomes = here.call("build", "tag:staging", T0)
        assert outcomes
        assert {outcome.status for outcome in outcomes} == {"success"}
    assert _lock(file) == {}
    with duckdb.connect(str(file)) as connection:
        assert connection.execute("select count(*) > 0 from STREAMING.ORDER_EVENTS").fetchone() == (True,)


def test_a_run_that_hangs_is_killed_and_reported_and_the_transform_runs_all_the_same(
    file: Path, slack: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In DuckDB, where neither a signal of Python's nor a timeout of Prefect's reaches it."""
    with session("first") as here:
        here.call("collect", T0)
    with duckdb.connect(str(file)) as connection:
        connection.execute(_HANGS)
    monkeypatch.setenv("STREAMING_OPS_HANG_MINUTES", "0.2")
    with session("tick") as here:
        here.open()
        pid = _lock(file)["pid"]
        with pytest.raises(
            DbtError, match=r"no progress for 0.2 minutes, and its process was killed.*collector_health"
        ):
            runs.tick(T1, here)
        assert _ends(pid)
        # The transform after it had another process, and the file.
        assert _lock(file)["pid"] != pid
    (sent,) = [text for text in map(json.dumps, slack.received) if "monitor-streaming failed" in text]
    assert "no progress for 0.2 minutes" in sent
    assert "streaming-dbt-transform failed" not in json.dumps(slack.received)


def test_a_run_whose_process_is_killed_says_so_and_the_next_run_starts_at_once(file: Path) -> None:
    with run_as(RunInfo(flow_run="dead")), session("tick") as here:
        here.open()
        os.kill(_lock(file)["pid"], signal.SIGKILL)
        with pytest.raises(DbtError, match="was killed, or ran out of memory"):
            here.call("build", "tag:staging", T0)
    with session("next", wait_minutes=0) as here:
        here.open()
        # Prefect shows this flow run as crashed then.
        assert here.dead_runs == ["dead"]


def test_a_cancelled_run_ends_at_once(file: Path) -> None:
    with session("tick") as here:
        here.call("collect", T0)
        pid = _lock(file)["pid"]
        Timer(0.3, here.cancel).start()
        with pytest.raises(RunCancelled):
            while True:
                here.call("build", "tag:staging", T0)
        with pytest.raises(RunCancelled):
            here.call("collect", T0)
    assert _ends(pid)


_OWNER = """
import sys, time
from orchestration.process import session
with session("backfill") as here:
    here.open()
    print("open", flush=True)
    time.sleep(float(sys.argv[1]))
"""


@pytest.fixture
def elsewhere(file: Path) -> Iterator[Any]:
    """Starts another program of this project that holds the warehouse for so many seconds."""
    started: list[subprocess.Popen[bytes]] = []

    def start(seconds: float) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", _OWNER, str(seconds)]
        process = subprocess.Popen(command, cwd=PROJECT_DIR, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == b"open\n"
        return process

    yield start
    for program in started:
        program.kill()
        program.wait()


def test_a_run_waits_for_its_turn_and_says_for_whom(file: Path, elsewhere: Any, caplog: Any) -> None:
    with session("before", uses="nothing") as here:
        # The warm process is there then, however busy the machine is.
        here.open()
    elsewhere(4)
    with caplog.at_level(logging.INFO), session("status", uses="reads") as here:
        assert here.call("alert_names")
    assert "Waiting: backfill (process" in caplog.text


def test_a_run_that_may_not_wait_longer_names_who_has_the_warehouse(file: Path, elsewhere: Any) -> None:
    elsewhere(60)
    with (
        session("tick", wait_minutes=0.02) as here,
        pytest.raises(WarehouseTaken, match=r"^backfill \(process \d+ on "),
    ):
        here.open()
    # It holds the warehouse yet.
    assert _lock(file)["what"] == "backfill"


def test_with_its_owner_the_process_of_a_run_ends(file: Path, elsewhere: Any) -> None:
    owner = elsewhere(60)
    pid = _lock(file)["pid"]
    owner.kill()
    owner.wait()
    with session("next", wait_minutes=0.2) as here:
        here.open()
    assert _ends(pid)


def test_a_program_that_knows_nothing_of_the_guard_is_waited_for_too(file: Path) -> None:
    code = f"import duckdb, time; c = duckdb.connect({str(file)!r}); print('open', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        with session("tick", wait_minutes=0) as here, pytest.raises(WarehouseTaken, match="another program"):
            here.open()
        holder.kill()
    with session("tick", wait_minutes=0) as here:
        assert here.call("collect", T0) == []


def test_a_run_that_lost_its_process_and_its_turn_is_a_failure(file: Path, elsewhere: Any) -> None:
    """Not skipped: what went wrong before would be reported by nobody."""
    with session("tick", wait_minutes=0) as here:
        here.open()
        os.kill(_lock(file)["pid"], signal.SIGKILL)
        with pytest.raises(DbtError, match="was killed"):
            here.call("collect", T0)
        elsewhere(60)
        with pytest.raises(DbtError, match="The rest could not be done: backfill"):
            here.call("collect", T0)


def test_a_reader_that_leaves_early_ends_the_run(file: Path) -> None:
    with session("backfill") as here:
        here.open()
        pid = _lock(file)["pid"]
        for _ in here.items("backfill", "2026-03-01T02:00:00Z", "2026-03-02T03:00:00Z", T1):
            break
    assert _ends(pid)


def test_a_lock_that_cannot_be_written_is_an_error_and_no_free_turn(tmp_path: Path) -> None:
    (tmp_path / "x.duckdb.lock").mkdir()
    with pytest.raises(DbtError, match=r"x\.duckdb\.lock, by which runs take turns, cannot be written"):
        FileGuard(tmp_path / "x.duckdb", owner("tick")).take()


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '{"what": 1}', "\x00"])
def test_a_lock_file_of_any_content_stops_nobody(tmp_path: Path, text: str) -> None:
    guard = FileGuard(tmp_path / "x.duckdb", owner("tick"))
    (tmp_path / "x.duckdb.lock").write_text(text)
    with guarded(guard, 0) as dead:
        assert dead == []


def test_an_edited_project_is_run_as_it_is_now_while_other_runs_go_on(file: Path, tmp_path: Path) -> None:
    WARM.start()
    with session("before", uses="nothing") as before:
        before.open()
        first = WARM._process
        # What a rotated secret or another setting is to a process.
        os.environ["STREAMING_OPS_MIN_EVENTS"] = "7"
        try:
            with session("after", uses="nothing") as after:
                after.open()
                assert WARM._process is not first
                assert before.call("alert_names") == after.call("alert_names")
        finally:
            del os.environ["STREAMING_OPS_MIN_EVENTS"]


def test_an_edit_of_any_file_of_the_project_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PROJECT_DIR", tmp_path)
    monkeypatch.setenv("DBT_PROFILES_DIR", "profile")
    files = ["dbt_project.yml", ".env", "models/watch/a.sql", "macros/a/b.sql", "seeds/silences.csv"]
    for name in [*files, "tests/dbt/generic/a.sql", "orchestration/receivers/a.py", "profile/profiles.yml"]:
        before = process._project_state()
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
        assert process._project_state() != before, name


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux shows the threads of a process")
def test_the_warm_process_has_no_thread_that_a_fork_would_lose(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing of the parsed project is kept there: all of it is parsed.
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "target"))
    with session("tick", uses="nothing") as here:
        assert here.call("alert_names")
        assert WARM._process is not None
        assert len(list(Path(f"/proc/{WARM._process.pid}/task").iterdir())) == 1


def test_an_error_of_a_step_is_raised_with_its_text(file: Path) -> None:
    with session("backfill") as here, pytest.raises(ValueError, match="goes from an instant to a later one"):
        list(here.items("backfill", "2026-03-02T02:00:00Z", "2026-03-02T02:00:00Z"))


def test_a_project_that_dbt_cannot_parse_says_why(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    with session("tick") as here, pytest.raises(DbtError, match=r"No profiles\.yml in"):
        here.open()


@pytest.mark.parametrize(
    ("minutes", "seconds", "cron"),
    [
        ("5", 300, "*/5 * * * *"),
        ("60", 3600, "0 * * * *"),
        ("120", 7200, "0 */2 * * *"),
        ("0.5", 30, None),
        ("90", 5400, None),
        ("7", None, None),
        ("0", None, None),
        ("-5", None, None),
        ("'5'", None, None),
        ("0.333", None, None),
        ("null", None, None),
    ],
)
def test_the_interval_divides_a_day(tmp_path: Path, minutes: str, seconds: int | None, cron: str | None) -> None:
    (tmp_path / "dbt_project.yml").write_text(f"vars: {{evaluation_interval_minutes: {minutes}}}")
    if seconds is None:
        with pytest.raises(ValueError, match=r"evaluation_interval_minutes in dbt_project\.yml is"):
            evaluation_interval(tmp_path)
        return
    interval = evaluation_interval(tmp_path)
    assert interval.total_seconds() == seconds
    if cron is None:
        with pytest.raises(ValueError, match="serve"):
            as_cron(interval)
    else:
        assert as_cron(interval) == cron


def test_logs_go_where_they_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path / "logs"))
    assert log_dir() == tmp_path / "logs"
    # A folder cannot be made in a file: root, who may run the tests, may write anywhere else.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path / "file" / "logs"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fallback = tmp_path / f"streaming-ops-logs-{os.getuid()}"
    assert log_dir() == fallback
    assert fallback.stat().st_mode & 0o077 == 0
    # Others can write to the folder beside it.
    fallback.chmod(0o755)
    assert log_dir() is None
    fallback.rmdir()
    fallback.write_text("")
    assert log_dir() is None
    fallback.unlink()
    (tmp_path / "logs").chmod(0o700)
    fallback.symlink_to(tmp_path / "logs")
    assert log_dir() is None
    fallback.unlink()
    fallback.mkdir(mode=0o700)
    # Somebody else's.
    somebody = os.getuid() + 1
    monkeypatch.setattr("os.getuid", lambda: somebody)
    fallback.rename(tmp_path / f"streaming-ops-logs-{os.getuid()}")
    assert log_dir() is None


def test_the_server_starts_where_no_log_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from orchestration import serve

    (tmp_path / "python").write_text("#!/bin/sh\necho why")
    (tmp_path / "python").chmod(0o700)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    api = serve._Api()
    monkeypatch.setattr(serve.logger, "disabled", True)
    monkeypatch.setattr(serve, "log_dir", lambda: None)
    monkeypatch.setattr(serve, "_answers", lambda url: api._server.wait() and False)
    with pytest.raises(RuntimeError, match="did not start: standard error says why"):
        api._start()
    assert capfd.readouterr().err == "why\n"
