"""A warehouse for the tests: generated orders in a DuckDB file that is built once and copied for each test."""

import fcntl
import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.python.warehouse import PROJECT_DIR, T0, Warehouse
from tests.python.web import Receiver

# The first mostly waits.
LONGEST = ("test_schedule", "test_notify", "test_faults", "test_streaming", "test_parity", "test_process", "test_flows")

_BUILD = f"""
from orchestration import runs, steps
steps.project().run_operation("generate_stream", "{T0}", history_days=3, orders_per_day=6000)
runs.transform("{T0}")
runs.monitor("{T0}")
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A worker process takes a file at a time: the longest first, so that all workers end at about the same time."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


def pytest_collection_finish() -> None:
    """All is imported: the garbage collector need not look through it again and again, a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="session", autouse=True)
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the developer's own: profile, target folder, webhook and Prefect home are the test's."""
    import orchestration.settings  # noqa: F401  reads the developer's .env, which is taken away again below
    from orchestration import process

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
        # pytest writes the name of each test there; the warm process would begin anew for it.
        state = process._project_state

        def state_without_the_test() -> tuple[Any, dict[str, str]]:
            files, environment = state()
            return files, {name: value for name, value in environment.items() if name != "PYTEST_CURRENT_TEST"}

        patch.setattr(process, "_project_state", state_without_the_test)
        yield


@pytest.fixture(autouse=True)
def _nothing_fetched() -> Iterator[None]:
    """A secret that one test fetched is not fetched in the next one."""
    from orchestration.origin import FETCHED

    yield
    FETCHED.clear()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run of the tests, the same in all of its worker processes."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """`folder`, which the first worker process that wants it fills by `make`."""
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            new = folder.with_suffix(".new")
            new.mkdir()
            make(new)
            new.rename(folder)
    return folder


@pytest.fixture(scope="session")
def base_warehouse(shared: Path, _environment: None) -> Path:
    """Three healthy days up to T0, transformed and evaluated. Built in a process of its own, which closes the file."""

    def build(folder: Path) -> None:
        places = {"STREAMING_OPS_DUCKDB_PATH": str(folder / "warehouse.duckdb"), "DBT_TARGET_PATH": str(folder)}
        subprocess.run([sys.executable, "-c", _BUILD], cwd=PROJECT_DIR, env=os.environ | places, check=True)

    return made_once(shared / "base", build) / "warehouse.duckdb"


@pytest.fixture
def warehouse(base_warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    file = tmp_path / "warehouse.duckdb"
    shutil.copy(base_warehouse, file)
    monkeypatch.setenv("STREAMING_OPS_DUCKDB_PATH", str(file))
    return Warehouse(file, base_warehouse.with_name("built.json"))


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
