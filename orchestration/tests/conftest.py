"""A warehouse for the tests: generated orders in a DuckDB file that is built once and copied for each test."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

PROJECT_DIR = Path(__file__).resolve().parents[2]
# The first healthy tick; every test goes on from here.
T0 = "2026-03-02T12:00:00Z"
SECRET = "T000/B000/s3cr3tPart"

_BUILD = f"""
from orchestration import runs, steps
steps.project().run_operation("generate_stream", "{T0}", history_days=3, orders_per_day=12000)
runs.transform("{T0}")
runs.monitor("{T0}")
"""


@pytest.fixture(scope="session", autouse=True)
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the developer's own: profile, target folder, webhook and Prefect home are the test's."""
    import orchestration.settings  # noqa: F401  reads the developer's .env, which is taken away again below

    home = tmp_path_factory.mktemp("home")
    shutil.copy(PROJECT_DIR / "profiles.example.yml", home / "profiles.yml")
    with pytest.MonkeyPatch.context() as patch:
        mine = ("AWS_", "KAFKA_", "CONFLUENT_", "STREAMING_OPS_", "DBT_", "PREFECT_", "SNOWFLAKE_")
        mine += ("SLACK_", "PAGERDUTY_", "ALERT_WEBHOOK_", "HEARTBEAT_")
        for name in [name for name in os.environ if name.startswith(mine)]:
            patch.delenv(name)
        patch.setenv("DBT_PROFILES_DIR", str(home))
        patch.setenv("DBT_TARGET_PATH", str(home / "target"))
        patch.setenv("DBT_LOG_PATH", str(home / "logs"))
        patch.setenv("PREFECT_HOME", str(home / "prefect"))
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        patch.setenv("DO_NOT_TRACK", "1")
        yield


@pytest.fixture(autouse=True)
def _nothing_fetched() -> Iterator[None]:
    """A secret that one test fetched is not fetched in the next one."""
    from orchestration.origin import FETCHED

    yield
    FETCHED.clear()


@pytest.fixture(scope="session")
def base_warehouse(tmp_path_factory: pytest.TempPathFactory, _environment: None) -> Path:
    """Three healthy days up to T0, transformed and evaluated. Built in a process of its own, which closes the file."""
    file = tmp_path_factory.mktemp("base") / "warehouse.duckdb"
    subprocess.run(
        [sys.executable, "-c", _BUILD],
        cwd=PROJECT_DIR,
        env=os.environ | {"STREAMING_OPS_DUCKDB_PATH": str(file)},
        check=True,
    )
    return file


class Warehouse:
    """A copy of the base warehouse, and the project on it."""

    def __init__(self, file: Path) -> None:
        from orchestration import runs, steps

        self.file, self.runs = file, runs
        self.dbt = steps.project()
        # Another file: nothing was built in it by this process.
        self.dbt.built.forget()

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Runs statements straight in DuckDB, as the outside world would; returns the last one's rows."""
        self.dbt.close()
        with duckdb.connect(self.file) as connection:
            connection.execute("set timezone = 'UTC'; set disabled_optimizers = 'statistics_propagation'")
            for statement in statements:
                rows = connection.execute(statement)
            return rows.fetchall()

    def produce(self, until: str, **options: Any) -> None:
        self.dbt.run_operation("generate_stream", until, **({"orders_per_day": 12000} | options))

    def transform(self, as_of: str) -> None:
        self.runs.transform(as_of)

    def monitor(self, as_of: str) -> dict[str, str]:
        """Builds tag:monitoring and returns the status of every alert and of whatever else was not well."""
        outcomes = self.dbt.build("tag:monitoring", as_of)
        return {o.name: o.status for o in outcomes if o.is_alert or o.is_problem}

    def firing(self, as_of: str) -> dict[str, str]:
        return {name: status for name, status in self.monitor(as_of).items() if status != "pass"}


@pytest.fixture
def warehouse(base_warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    file = tmp_path / "warehouse.duckdb"
    shutil.copy(base_warehouse, file)
    monkeypatch.setenv("STREAMING_OPS_DUCKDB_PATH", str(file))
    return Warehouse(file)


class Receiver:
    """A webhook on loopback that answers with each of `answers` in turn: (status, body, headers)."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str, dict[str, str]]] = []
        self.received: list[dict[str, Any]] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                status, body, headers = receiver.answers.pop(0) if receiver.answers else (200, "ok", {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/services/{SECRET}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def slack(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    """The receiver, as Slack's webhook of the flows."""
    monkeypatch.setenv("SLACK_WEBHOOK_URL", receiver.url)
    return receiver


Change = Callable[[Warehouse], Any]
