"""The real schedule: a Prefect server, and `serve` or a worker beside it, each in a process of its own.

What they do is read back by the server's API. One kill is in every run of the tests, all are in `make soak`.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestration.serve import NIGHTLY
from orchestration.tests.conftest import PROJECT_DIR

SOAK = os.environ.get("STREAMING_OPS_SCHEDULE_KILLS") == "all"
STARTS_SECONDS = 120
# A tick, and the processes that start again after a kill, may take so long on a busy machine.
SLACK_SECONDS = 90
COPIED = ("dbt_project.yml", "prefect.yaml", "models", "macros", "seeds", "tests", "orchestration")
Run = dict[str, Any]


def until(what: str, found: Callable[[], Any], seconds: float = STARTS_SECONDS) -> Any:
    """Asks until something is found. Fails after that time, and says what was waited for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(httpx.HTTPError):
            if result := found():
                return result
        time.sleep(0.25)
    raise AssertionError(f"{what}: not within {seconds} s")


class Stage:
    """A copy of the project with another interval, and the processes that run it."""

    def __init__(self, directory: Path, minutes: float) -> None:
        self.project = directory / "project"
        for name in COPIED:
            source, target = PROJECT_DIR / name, self.project / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        shutil.copy(PROJECT_DIR / "profiles.example.yml", self.project / "profiles.yml")
        self.write("evaluation_interval_minutes: 5", f"evaluation_interval_minutes: {minutes:g}")
        self.seconds = minutes * 60
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url, self._port = f"http://127.0.0.1:{port}/api", port
        mine = ("PATH", "HOME", "LANG", "SSL_CERT", "TMPDIR")
        self.environment = {name: value for name, value in os.environ.items() if name.startswith(mine)} | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PREFECT_API_URL": self.url,
            "PREFECT_HOME": str(directory / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "DO_NOT_TRACK": "1",
        }
        self.logs = directory / "logs"
        self.logs.mkdir()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def write(self, old: str, new: str) -> None:
        """Edits dbt_project.yml, as a person would."""
        file = self.project / "dbt_project.yml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def start(self, name: str, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        with (self.logs / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, *command],
                cwd=self.project,
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self._processes[name]

    def start_server(self) -> None:
        self.start("server", "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self._port))
        until("the server answers", lambda: httpx.get(f"{self.url}/health", timeout=5).is_success)

    def serve(self, **environment: str) -> subprocess.Popen[bytes]:
        return self.start("serve", "-m", "orchestration", "serve", **environment)

    def deploy(self) -> None:
        """As prefect.yaml says."""
        for arguments in (
            ["work-pool", "create", "streaming-ops", "--type", "process"],
            ["--no-prompt", "deploy", "--all"],
        ):
            command = [sys.executable, "-m", "prefect", *arguments]
            ended = subprocess.run(
                command, cwd=self.project, env=self.environment, capture_output=True, text=True, check=False
            )
            assert ended.returncode == 0, ended.stdout + ended.stderr

    def start_worker(self) -> subprocess.Popen[bytes]:
        return self.start("worker", "-m", "prefect", "worker", "start", "--pool", "streaming-ops")

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text()

    def kill(self, *names: str) -> None:
        """Without warning, as a crash does: only this process, and what ends by itself then."""
        for name in names:
            self._processes[name].kill()
        for name in names:
            self._processes.pop(name).wait()

    def close(self) -> None:
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def ask(self, path: str, **body: Any) -> Any:
        return httpx.post(f"{self.url}/{path}", json=body, timeout=30).raise_for_status().json()

    def runs(self, *states: str) -> list[Run]:
        """The ticks that the schedule created, oldest first, that are in one of these states, by name."""
        filters = {"flows": {"name": {"any_": ["streaming-tick"]}}, "sort": "EXPECTED_START_TIME_ASC"}
        found = self.ask("flow_runs/filter", **filters, flow_runs={"state": {"name": {"any_": list(states)}}})
        return [run for run in found if run["auto_scheduled"]]

    def finished(self, after: datetime) -> Run | None:
        """A tick that was begun after that time, and completed."""
        begun = [run for run in self.runs("Completed") if datetime.fromisoformat(run["start_time"]) > after]
        return begun[0] if begun else None

    def said(self, run: Run) -> str:
        found = self.ask("logs/filter", logs={"flow_run_id": {"any_": [run["id"]]}}, limit=200)
        return "\n".join(log["message"] for log in found)

    def state(self, run: Run) -> str:
        return httpx.get(f"{self.url}/flow_runs/{run['id']}", timeout=30).raise_for_status().json()["state"]["name"]


@pytest.fixture
def stage(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    stage = Stage(tmp_path, getattr(request, "param", 0.5))
    try:
        yield stage
    finally:
        stage.close()
        for log in sorted(stage.logs.iterdir()):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-6000:]}")


def test_serve_runs_what_the_schedule_creates_and_ends_without_a_traceback(stage: Stage) -> None:
    stage.start_server()
    began = datetime.now(UTC)
    serve = stage.serve()
    first = until("the first tick", lambda: stage.finished(began))
    second = until("the next tick", lambda: stage.finished(datetime.fromisoformat(first["start_time"])))
    for run in (first, second):
        assert run["name"] == f"tick {run['expected_start_time'][:16].replace('T', ' ')}"
        assert run["parameters"] == {}
        assert "streaming-ops" in run["tags"]
        assert 0 < run["total_run_time"] < stage.seconds
        assert datetime.fromisoformat(run["expected_start_time"]).timestamp() % stage.seconds == 0
    # Prefect sends logs every two seconds.
    until("the end of the log", lambda: "Finished in state Completed('All steps" in stage.said(second))
    for line in (
        "dbt build tag:monitoring: ",
        "OK created sql incremental model MONITORING.consumer_lag",
        "collector_failed",
    ):
        assert line in stage.said(second)
    tasks = stage.ask("task_runs/filter", flow_runs={"id": {"any_": [second["id"]]}})
    assert {task["state"]["name"] for task in tasks} == {"Completed"}
    # By hand beside it: waits for its turn, and notifies nobody.
    by_hand = [sys.executable, "-m", "orchestration", "tick"]
    environment = stage.environment | {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
    ended = subprocess.run(by_hand, cwd=stage.project, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "PREFECT_API_URL does not answer" in ended.stdout
    assert "Stream health" in ended.stdout
    serve.send_signal(signal.SIGTERM)
    assert serve.wait(60) == 0
    assert "Traceback" not in stage.log("serve")
    assert "nanobind" not in stage.log("serve") + ended.stdout + ended.stderr
    # Nobody holds the file, and nothing of it goes on.
    assert not (stage.project / "warehouse.duckdb.lock").read_text()


@pytest.mark.parametrize("stage", [1], indirect=True)
def test_a_worker_runs_what_prefect_deploy_has_deployed(stage: Stage) -> None:
    stage.start_server()
    stage.deploy()
    deployments = {(d["name"], d["schedules"][0]["schedule"]["cron"]) for d in stage.ask("deployments/filter")}
    assert deployments == {("worker", "*/1 * * * *"), ("worker", NIGHTLY)}
    began = datetime.now(UTC)
    stage.start_worker()
    run = until("a tick", lambda: stage.finished(began), 150)
    assert run["name"].startswith("tick 20")
    assert 0 < run["total_run_time"] < stage.seconds
    until("the log", lambda: "dbt build tag:monitoring: " in stage.said(run))


# `serve` that dies between the two states that it proposes: there is no other moment in which a run is pending.
_DIES_PENDING = """
import os, signal
from orchestration import serve
serve.run_flow = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
import logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
serve.serve_flows()
"""
KILLS = [("RUNNING", ("serve",)), ("RUNNING", ("server", "serve")), ("RUNNING", ("server",)), ("PENDING", ("serve",))]
KILLS += [("PENDING", ("server", "serve")), ("WORKER", ("worker",)), ("WORKER", ("server", "worker"))]


@pytest.mark.parametrize(
    ("at", "killed"),
    KILLS if SOAK else KILLS[1:2],
    ids=lambda part: "-".join(part) if isinstance(part, tuple) else part,
)
def test_after_a_kill_the_next_tick_completes_and_the_dead_run_is_shown_as_crashed(
    tmp_path: Path, at: str, killed: tuple[str, ...]
) -> None:
    """(server, serve) is what a reboot does."""
    is_worker = "worker" in killed
    stage = Stage(tmp_path, 1 if is_worker else 0.5)
    try:
        stage.start_server()
        began = datetime.now(UTC)
        if is_worker:
            stage.deploy()
            stage.start_worker()
        elif at == "PENDING":
            stage.start("serve", "-c", _DIES_PENDING)
        else:
            stage.serve()
        if at == "PENDING":
            (dead,) = until("a pending run", lambda: stage.runs("Pending"), 150)
        else:
            until("the first tick", lambda: stage.finished(began), 150)
            dead = until("a running tick", lambda: stage.runs("Running"), 150)[-1]
        stage.kill(*killed)
        at_kill, clock = datetime.now(UTC), time.monotonic()
        if "server" in killed:
            stage.start_server()
        if "serve" in killed:
            stage.serve()
        if "worker" in killed:
            stage.start_worker()
        ready = time.monotonic() - clock
        run = until("the next tick", lambda: stage.finished(at_kill), stage.seconds + SLACK_SECONDS)
        seconds = (datetime.fromisoformat(run["end_time"]) - at_kill).total_seconds()
        print(
            f"KILL {at} {'+'.join(killed)}: {seconds:.0f} s to the next completed tick, of which {ready:.0f} s starting"
        )
        # A worker's run is a process of its own, and survives the worker.
        wanted = {"Crashed"} if "serve" in killed else {"Crashed", "Completed"}
        until("the dead run ended", lambda: stage.state(dead) in wanted, 10)
    finally:
        stage.close()
