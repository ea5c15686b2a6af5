"""The real schedule: a Prefect server, and `serve` or a worker beside it, each in a process of its own.

What they do is read back by the server's API. A reboot is in every run of the tests, other kills are in `make soak`.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestration.serve import NIGHTLY
from tests.python.orchestration.stage import Stage, until

# A tick, and the processes that start again after a kill, may take so long on a busy machine.
SLACK_SECONDS = 90


@pytest.fixture
def stage(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    stage = Stage(tmp_path, getattr(request, "param", 0.5))
    try:
        yield stage
    finally:
        stage.close()
        for log in sorted(stage.logs.iterdir()):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-6000:]}")


def test_serve_runs_what_the_schedule_creates_survives_a_reboot_and_ends_without_a_traceback(stage: Stage) -> None:
    stage.start_server()
    began = datetime.now(UTC)
    serve = stage.serve()
    first = until("the first tick", lambda: stage.finished(began))
    second = until("the next tick", lambda: stage.finished(datetime.fromisoformat(first["start_time"])))
    for run in (first, second):
        assert run["name"] == f"tick {run['expected_start_time'][:16].replace('T', ' ')}"
        assert run["parameters"] == {}
        assert "streaming-ops" in run["tags"]
        assert run["total_run_time"] > 0
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
    # What a reboot does.
    dead = until("a running tick", lambda: stage.runs("Running"), 150)[-1]
    assert "Traceback" not in stage.log("serve")
    stage.kill("server", "serve")
    at_kill, before = datetime.now(UTC), len(stage.log("serve"))
    stage.start_server()
    serve = stage.serve()
    until("the next tick", lambda: stage.finished(at_kill), stage.seconds + SLACK_SECONDS)
    until("the dead run ended", lambda: stage.state(dead) == "Crashed", 10)
    serve.send_signal(signal.SIGTERM)
    assert serve.wait(60) == 0
    assert "Traceback" not in stage.log("serve")[before:]
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
    assert run["total_run_time"] > 0
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


@pytest.mark.soak
@pytest.mark.parametrize(("at", "killed"), KILLS, ids=lambda part: "-".join(part) if isinstance(part, tuple) else part)
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
