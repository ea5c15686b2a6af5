"""One run at a time on Snowflake: leases, through dbt-snowflake and the emulator, from several machines."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest

from orchestration import guard, machine
from orchestration.guard import LeaseGuard, owner
from orchestration.outcomes import WarehouseTaken
from orchestration.process import WARM, Session, session
from tests.python.snowflake import emulator
from tests.python.snowflake.emulator import connect

LEASES = "select what, pid, flow_run from STREAMING_OPS.MONITORING.RUN_LEASES order by what"


@pytest.fixture(scope="module")
def environment(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The same for all tests, so that the warm process goes on from one to the next."""
    place = tmp_path_factory.mktemp("lease")
    yield emulator.environment(place, port) | {"DBT_TARGET_PATH": str(place / "target")}
    WARM.stop()


@pytest.fixture
def snowflake(port: int, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> int:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with connect(port) as connection:
        connection.cursor().execute("drop schema if exists STREAMING_OPS.MONITORING cascade")
    return port


def _leases(port: int) -> list[tuple[Any, ...]]:
    with connect(port) as connection:
        return connection.cursor().execute(LEASES).fetchall()


def _elsewhere(port: int) -> None:
    """What runs here looks as if it ran on another machine, by a process that is none of this one."""
    with connect(port) as connection:
        connection.cursor().execute(
            "update STREAMING_OPS.MONITORING.RUN_LEASES set machine = 'another', host = 'far', pid = 999999999"
        )


def test_a_lease_is_taken_and_given_back_also_before_its_table_is_there(snowflake: int) -> None:
    with session("tick") as here:
        here.open()
        ((what, pid, flow_run),) = _leases(snowflake)
        assert (what, flow_run) == ("tick", "")
        assert pid != os.getpid()
    assert _leases(snowflake) == []


def test_the_lease_of_another_machine_is_respected_until_it_expires(
    snowflake: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard.LeaseGuard, "patience", 1.0)
    first = Session("backfill")
    first.open()
    _elsewhere(snowflake)
    dbt = _dbt()
    late = LeaseGuard(dbt, owner("tick"), "2026-03-02T12:00:00Z")
    with pytest.raises(WarehouseTaken, match=r"^backfill \(process \d+ on far\) has used the warehouse since"):
        late.take()
    # Whoever gave way leaves nothing behind.
    assert [what for what, *_ in _leases(snowflake)] == ["backfill"]
    with connect(snowflake) as connection:
        changes = "flow_run = 'dead', expires_at = dateadd('second', -1, sysdate())"
        connection.cursor().execute(f"update STREAMING_OPS.MONITORING.RUN_LEASES set {changes}")
    assert late.take() == ["dead"]
    assert [what for what, *_ in _leases(snowflake)] == ["tick"]
    late.release()
    first.cancel()
    first.close()


@pytest.mark.snowflake
def test_the_lease_of_a_process_of_this_machine_that_was_killed_is_taken_at_once(snowflake: int) -> None:
    first = Session("tick")
    first.open()
    ((_, pid, _),) = _leases(snowflake)
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 20
    while not machine.is_gone(pid) and time.monotonic() < end:
        time.sleep(0.05)
    with session("next", wait_minutes=0) as here:
        here.open()
        assert [what for what, *_ in _leases(snowflake)] == ["next"]
    first.close()


@pytest.mark.snowflake
def test_a_lease_is_renewed_while_its_run_goes_on(snowflake: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "RENEWED_AFTER_SECONDS", 0.5)
    dbt = _dbt()
    lease = LeaseGuard(dbt, owner("tick"), "2026-03-02T12:00:00Z")
    lease.take()
    expires = "select expires_at from STREAMING_OPS.MONITORING.RUN_LEASES"
    with connect(snowflake) as connection:
        cursor = connection.cursor()
        first = cursor.execute(expires).fetchone()
        end = time.monotonic() + 30
        while cursor.execute(expires).fetchone() == first and time.monotonic() < end:
            # As dbt does between two nodes; the renewal has a connection of its own.
            dbt.query("select 1 as one", "2026-03-02T12:00:00Z")
        assert cursor.execute(expires).fetchone() > first
    lease.release()
    assert _leases(snowflake) == []


@pytest.mark.snowflake
def test_of_runs_that_start_at_once_one_has_the_warehouse_at_a_time(
    snowflake: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with session("first") as here:
        here.open()

    def run(number: int) -> tuple[float, float]:
        with session(f"run {number}") as here:
            here.open()
            began = time.monotonic()
            time.sleep(1)
            return began, time.monotonic()

    with ThreadPoolExecutor(3) as pool:
        spans = sorted(pool.map(run, range(3)))
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans)), spans
    assert _leases(snowflake) == []


@pytest.mark.snowflake
def test_what_only_reads_needs_no_turn(snowflake: int) -> None:
    with session("tick") as first:
        first.open()
        with session("status", wait_minutes=0, uses="reads") as second:
            assert second.call("alert_names")
        assert [what for what, *_ in _leases(snowflake)] == ["tick"]


def _dbt() -> Any:
    from orchestration.runner import Dbt

    return Dbt()
