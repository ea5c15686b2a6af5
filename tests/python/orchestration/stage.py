"""A stage for the real schedule: a Prefect server, and `serve` or a worker beside it, each in a process of its own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from tests.python.warehouse import PROJECT_DIR

STARTS_SECONDS = 120
COPIED = ("dbt_project.yml", "prefect.yaml", "models", "macros", "seeds", "tests/dbt", "orchestration")
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
