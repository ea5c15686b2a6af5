"""Processes that run dbt: each run has one of its own, which can be killed whatever it hangs in.

They are forked from a warm process (orchestration/warm.py), which is started anew where the project has changed since.
Here neither dbt nor Prefect is imported.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from threading import Lock
from typing import Any

from orchestration.outcomes import CURRENT_RUN, DbtError, Outcome, RunCancelled, WarehouseTaken, outcomes_of
from orchestration.settings import PROJECT_DIR, Settings

# A run depends on these files.
_FILES = ("*.yml", ".env", "models/**/*", "macros/**/*", "seeds/*", "tests/dbt/**/*", "orchestration/**/*.py")
_KEPT_SECONDS = 3600  # as in built.py; a rotated secret is read again then


class _Warm:
    """The warm process, and when it has to be another one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._left: list[subprocess.Popen[bytes]] = []
        self._project: Any = None
        self._since = 0.0

    def fork(self) -> Connection:
        """A new process for a run, as the pipe to it."""
        with self._lock:
            ours, theirs = socket.socketpair()
            with theirs:
                if self._is_outdated():
                    self._start()
                try:
                    socket.send_fds(self._control, [b"r"], [theirs.fileno()])
                except OSError:
                    # It was killed.
                    self._start()
                    socket.send_fds(self._control, [b"r"], [theirs.fileno()])
            return Connection(ours.detach())

    def start(self) -> None:
        """Gets it ready before the first run."""
        with self._lock:
            self._start()

    def stop(self) -> None:
        """Ends it, and with it the runs that are left."""
        with self._lock:
            self._leave()
            for process in self._left:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def forget(self) -> None:
        """After a fault the next run starts another one, as a process of its own would. Runs go on."""
        self._since = 0.0

    def _is_outdated(self) -> bool:
        is_alive = self._process is not None and self._process.poll() is None
        is_recent = 0 <= time.monotonic() - self._since < _KEPT_SECONDS
        return not (is_alive and is_recent and self._since and _project_state() == self._project)

    def _start(self) -> None:
        self._leave()
        self._project, self._since = _project_state(), time.monotonic()
        self._control, theirs = socket.socketpair()
        paths = [str(PROJECT_DIR), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(paths),
            # In any locale files and arguments are UTF-8, and what cannot be printed is escaped.
            "PYTHONUTF8": "1",
            "PYTHONIOENCODING": f"{getattr(sys.stdout, 'encoding', None) or 'utf-8'}:backslashreplace",
            # On macOS, where libraries object to a fork that their process did not plan.
            "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
        }
        with theirs:
            # dbt's locks of a killed run, of which the system keeps nothing.
            ignored = ["-W", "ignore:resource_tracker"]
            command = [sys.executable, *ignored, "-m", "orchestration.warm", str(theirs.fileno())]
            self._process = subprocess.Popen(  # noqa: S603
                command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL, process_group=0
            )

    def _leave(self) -> None:
        """It ends by itself, once its runs have."""
        if self._control and self._process:
            self._control.close()
            self._left.append(self._process)
        self._control = self._process = None
        self._left = [process for process in self._left if process.poll() is None]


WARM = _Warm()


def _project_state() -> tuple[list[tuple[str, int, int]], dict[str, str]]:
    """The project's files, and the environment that a run gets: where they differ, so does what a run does."""
    found = [path for pattern in _FILES for path in PROJECT_DIR.glob(pattern)]
    profile = os.environ.get("DBT_PROFILES_DIR")
    found += [PROJECT_DIR / profile / "profiles.yml"] if profile else []
    files = []
    for path in found:
        with suppress(OSError):
            stat = path.stat()
            files.append((str(path), stat.st_mtime_ns, stat.st_size))
    return sorted(files), dict(os.environ)


class Session:
    """The process of one run. It starts with the first step, and again after it was killed for hanging."""

    def __init__(self, what: str, wait_minutes: float | None = None, uses: str = "writes") -> None:
        """`what` names the run for others that wait. `wait_minutes`: for its turn, by default the setting. `uses`:
        whether it `writes` to the warehouse, only `reads` it, or does `nothing` with it."""
        settings = Settings()
        self._what, self._uses = what, uses
        self._wait_seconds = 60 * (settings.streaming_ops_wait_minutes if wait_minutes is None else wait_minutes)
        self._hang_minutes = settings.streaming_ops_hang_minutes
        self._pipe: Connection | None = None
        self._pid = 0
        self._is_cancelled = self._was_open = False
        self._at = ""  # the node that dbt is at
        self.problems: list[Outcome] = []  # to be reported with the run
        self.dead_runs: list[str] = []  # Prefect flow runs that had the warehouse when they died

    def open(self) -> None:
        """Starts the process and takes the warehouse, where that was not done yet."""
        if self._pipe is not None:
            return
        try:
            self._pipe = WARM.fork()
            self._pipe.send(CURRENT_RUN.get())
            self.dead_runs += self.call("take", self._what, self._wait_seconds, self._uses)
            self._was_open = True
        except WarehouseTaken as taken:
            self._end()
            if self._was_open:
                # It lost its process, and with it its turn: that is a failure, and is reported.
                raise DbtError(f"The rest could not be done: {taken}") from None
            raise
        except (OSError, ValueError) as error:
            self._end()
            raise DbtError(f"The process of {self._what} could not be started: {error}") from None
        except RuntimeError:
            self._end()
            raise

    def call(self, step: str, *args: Any, **variables: Any) -> Any:
        """Does a step of orchestration/steps.py there, and returns what it does. Its log goes to the loggers here.

        Raises DbtError also where it hangs, or its process ended; WarehouseTaken where another run has the warehouse.
        """
        for kind, value in self._messages(step, args, variables):
            if kind == "done":
                return value
        raise AssertionError("every step ends by done or raised")

    def step(self, title: str, name: str, *args: Any, **variables: Any) -> list[Outcome]:
        """The same for a step that has outcomes: that it cannot be done is one."""
        return outcomes_of(self.call, title, name, *args, **variables)

    @property
    def stores(self) -> list[Any]:
        """Where a run keeps what it sent of its faults, besides the warehouse."""
        from orchestration.faults import File

        return [File()]

    def items(self, step: str, *args: Any, **variables: Any) -> Iterator[Any]:
        """The same for a step that yields: each value as soon as it is there."""
        try:
            for kind, value in self._messages(step, args, variables):
                if kind == "item":
                    yield value
        except GeneratorExit:
            # Nobody wants the rest.
            self.cancel()
            raise

    def cancel(self) -> None:
        """Kills the process: the step that it is at raises RunCancelled. From any thread."""
        self._is_cancelled = True
        if self._pid:
            self._kill()

    def close(self) -> None:
        """Gives the warehouse back, and ends the process."""
        if self._pipe is not None and not self._is_cancelled:
            with suppress(DbtError, RunCancelled):
                self.call("release")
        self._end()

    def _messages(self, step: str, args: tuple[Any, ...], variables: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        if self._is_cancelled:
            raise RunCancelled("The run was cancelled.")
        self.open()
        self._at = ""
        try:
            self._pipe.send((step, args, variables))
            while True:
                if not self._pipe.poll(self._hang_minutes * 60):
                    self._kill()
                    self._end()
                    raise DbtError(
                        f"{self._what} showed no progress for {self._hang_minutes:g} minutes, and its process was "
                        f"killed (STREAMING_OPS_HANG_MINUTES). It was at {self._at or step}."
                    )
                kind, *values = self._pipe.recv()
                if kind == "raised":
                    raise values[0]
                if kind in ("item", "done"):
                    yield kind, values[0]
                else:
                    self._note(*values)
                if kind == "done":
                    return
        except (EOFError, OSError):
            self._end()
            if self._is_cancelled:
                raise RunCancelled("The run was cancelled.") from None
            raise DbtError(
                f"The process of {self._what} ended at {self._at or step}: it was killed, or ran out of memory. "
                "Look at the system's log."
            ) from None
        except DbtError:
            # As a process of its own would, the next run reads everything again.
            WARM.forget()
            raise

    def _note(self, name: str | int, level: int = 0, text: str = "") -> None:
        if isinstance(name, int):
            self._pid = name
        elif name.endswith(".progress"):
            self._at = text
        else:
            logging.getLogger(name).log(level, "%s", text)

    def _kill(self) -> None:
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        else:
            # It was not forked yet: the warm process itself hangs.
            WARM.stop()

    def _end(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
        self._pipe, self._pid = None, 0


@contextmanager
def session(what: str, wait_minutes: float | None = None, uses: str = "writes") -> Iterator[Session]:
    run = Session(what, wait_minutes, uses)
    try:
        yield run
    except BaseException as error:
        if not isinstance(error, Exception):
            # Ctrl-C, or a worker that ends the run.
            run.cancel()
        raise
    finally:
        run.close()
