"""The guard: one run at a time uses a warehouse.

On DuckDB it is a lock on a file beside the database: the operating system releases it when its owner ends, however it
ends. On Snowflake it is a lease, a row of MONITORING.RUN_LEASES that its owner renews, and that expires 90 seconds
after an owner on another machine was killed. Neither needs Prefect.
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any, Protocol
from uuid import uuid4

from orchestration.machine import is_gone, machine
from orchestration.outcomes import CURRENT_RUN, DbtError, WarehouseTaken
from orchestration.runner import Dbt, progress_logger

logger = logging.getLogger(__name__)
LEASE_SECONDS, RENEWED_AFTER_SECONDS = 90, 30
_LOST_BEFORE_SECONDS = 10
_SAID_AGAIN_SECONDS = 60
Owner = dict[str, Any]


class Guard(Protocol):
    def take(self) -> list[str]:
        """Takes the warehouse. Returns the Prefect flow runs of owners that died; raises WarehouseTaken."""
        ...

    def release(self) -> None: ...

    patience: float  # seconds that every run waits: by then the lease of an owner that was killed has expired
    asked_again_seconds: float


@contextlib.contextmanager
def guarded(guard: Guard, wait_seconds: float) -> Iterator[list[str]]:
    """Holds the guard. Waits for it, and says so; raises WarehouseTaken when `wait_seconds` are over."""
    began = time.monotonic()
    said: float | None = None
    while True:
        try:
            dead = guard.take()
            break
        except WarehouseTaken as taken:
            waited = time.monotonic() - began
            if waited >= max(wait_seconds, guard.patience):
                raise
            if said is None or time.monotonic() - said > _SAID_AGAIN_SECONDS:
                said = time.monotonic()
                logger.info("Waiting: %s", taken)
            # It does not hang.
            progress_logger.info("waiting for its turn")
            # Not in step with another one that waits.
            time.sleep(guard.asked_again_seconds * random.uniform(0.5, 1.5))  # noqa: S311
    try:
        yield dead
    finally:
        guard.release()


def owner(what: str) -> Owner:
    """This process, as it stands in the guard."""
    return {
        "what": what,
        "machine": machine(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "flow_run": CURRENT_RUN.get().flow_run,
        "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}",
    }


def _taken(holder: Owner) -> WarehouseTaken:
    if not holder:
        return WarehouseTaken("another program is using the DuckDB file, such as dbt or a SQL client.")
    return WarehouseTaken(
        f"{holder['what']} (process {holder['pid']} on {holder['host']}) has used the warehouse since "
        f"{holder['since']} UTC."
    )


class FileGuard:
    """For DuckDB."""

    patience, asked_again_seconds = 0.0, 0.5

    def __init__(self, database: Path, me: Owner) -> None:
        self._database, self._me = database, me
        self._path = database.with_name(f"{database.name}.lock")
        self._file: Any = None

    def take(self) -> list[str]:
        try:
            file = self._path.open("a+", encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            # Where no lock can be, there is no database either: dbt says what is wrong with the path.
            return []
        except OSError as error:
            raise DbtError(f"{self._path}, by which runs take turns, cannot be written: {error.strerror}.") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = _read(file)
            file.close()
            raise _taken(holder) from None
        if self._is_open_elsewhere():
            file.close()
            raise _taken({})
        dead = _read(file)
        self._file = file
        self._write(json.dumps(self._me))
        return [dead["flow_run"]] if dead.get("flow_run") else []

    def release(self) -> None:
        if self._file:
            self._write("")
            self._file.close()
            self._file = None

    def _write(self, text: str) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text)
        self._file.flush()

    def _is_open_elsewhere(self) -> bool:
        """Whether a program that knows nothing of this guard has the database: DuckDB locks it by POSIX's record locks.

        To be asked before this process opens it, for closing any file of a process gives up its record locks.
        """
        try:
            database = self._database.open("r+b")
        except OSError:
            # Not there, or not to be written: DuckDB says so.
            return False
        with database:
            try:
                fcntl.lockf(database, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                return error.errno in (errno.EAGAIN, errno.EACCES)
        return False


def _read(file: Any) -> Owner:
    file.seek(0)
    try:
        found = json.loads(file.read())
    except ValueError:
        return {}
    return found if isinstance(found, dict) and {"what", "pid", "host", "since"} <= found.keys() else {}


class LeaseGuard:
    """For Snowflake.

    Who wants the warehouse inserts a claim and then reads all claims. Statements see what was committed before they
    began (https://docs.snowflake.com/en/sql-reference/transactions#isolation-level), so of two that claim at once at
    least one sees both, and whoever sees another one gives way. No lock is relied on.
    """

    # To ask takes three statements.
    patience, asked_again_seconds = LEASE_SECONDS + 10.0, 5.0

    def __init__(self, dbt: Dbt, me: Owner, as_of: str) -> None:
        self._dbt, self._me, self._as_of = dbt, me, as_of
        self._id = str(uuid4())
        self._ended = Event()

    def take(self) -> list[str]:
        others = self._claim()
        here = self._me["machine"]
        # A process of this machine that is gone renews nothing: nobody has to wait for its lease to expire.
        dead = [o for o in others if not o["is_live"] or (o["machine"] == here and is_gone(int(o["pid"])))]
        live = [o for o in others if o not in dead]
        if dead or live:
            leaving = [o["lease_id"] for o in dead] + ([self._id] if live else [])
            self._dbt.run_operation("end_leases", self._as_of, ids=leaving)
        if live:
            raise _taken(min(live, key=lambda o: str(o["since"])))
        Thread(target=self._renew, daemon=True).start()
        return [o["flow_run"] for o in dead if o["flow_run"]]

    def release(self) -> None:
        self._ended.set()
        try:
            self._dbt.run_operation("end_leases", self._as_of, ids=[self._id])
        except DbtError as error:
            logger.warning("The lease of this run expires in %d s: %s", LEASE_SECONDS, error)

    def _claim(self) -> list[Owner]:
        claim = f"{{{{ claim_lease({self._id!r}, {self._me!r}, {LEASE_SECONDS}) }}}}"
        try:
            return self._dbt.query(claim, self._as_of)
        except DbtError:
            # The first run of all: the table is not there yet.
            self._dbt.run_operation("create_landing_tables", self._as_of)
            return self._dbt.query(claim, self._as_of)

    def _renew(self) -> None:
        """Beside dbt, which runs one command at a time, by a connection of its adapter."""
        from dbt.adapters.factory import get_adapter_by_type

        statement = f"update {self._dbt.source('run_leases')} set expires_at = "  # noqa: S608
        statement += f"dateadd('second', {LEASE_SECONDS}, sysdate()) where lease_id = '{self._id}'"
        renewed, wait = time.monotonic(), RENEWED_AFTER_SECONDS
        while not self._ended.wait(wait):
            is_lost = time.monotonic() - renewed > LEASE_SECONDS - _LOST_BEFORE_SECONDS
            try:
                adapter = get_adapter_by_type("snowflake")
                with adapter.connection_named(f"lease {self._id}"):
                    response, _ = adapter.execute(statement)
                is_lost = response.rows_affected == 0
                renewed, wait = time.monotonic(), RENEWED_AFTER_SECONDS
            except Exception as error:
                # Between two commands dbt has no adapter; and a renewal that fails is tried again in time.
                logger.debug("The lease was not renewed: %s", error)
                wait = min(wait, _LOST_BEFORE_SECONDS / 5)
            if is_lost and not self._ended.is_set():
                logger.error("The lease of this run was lost: another run may have the warehouse. It ends here.")
                os.kill(os.getpid(), signal.SIGKILL)
