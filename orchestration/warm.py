"""The warm process: it has dbt and the parsed project in memory, and forks a process for each run.

So a run begins ready, ends without a trace in memory, frees the DuckDB file, and can be killed whatever it hangs in.
It is started by orchestration/process.py and ends when that process ends. Nothing here may open the warehouse or start
a thread: neither survives a fork.
"""

import contextlib
import gc
import logging
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from orchestration.outcomes import CURRENT_RUN, DbtError, DeliveryError, WarehouseTaken

_SAID = (DbtError, DeliveryError, WarehouseTaken, ValueError)  # their texts say what to do
_REAPED_SECONDS = 0.2


class _Relay(logging.Handler):
    """Sends what is logged to the process that asked for the run."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__()
        self._pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            self.send(("log", record.name, record.levelno, self.format(record)))

    def send(self, message: tuple[Any, ...]) -> None:
        """One after the other: dbt logs from threads of its own."""
        with self.lock:
            self._pipe.send(message)


def main() -> None:
    # The process that asked decides when a run ends; Ctrl-C and a stop of the service reach all of them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # The files of a run have orders in them.
    os.umask(0o077)
    control = socket.socket(fileno=int(sys.argv[1]))
    from orchestration import steps

    # What is wrong is said by the first step of a run, to whoever asked for it.
    with contextlib.suppress(Exception):
        steps.dbt().parse()
    gc.collect()
    gc.freeze()
    runs: set[int] = set()
    parent, is_wanted = os.getppid(), True
    while is_wanted or runs:
        asked, _, _ = select.select([control] if is_wanted else [], [], [], _REAPED_SECONDS if runs else None)
        runs = {pid for pid in runs if os.waitpid(pid, os.WNOHANG) == (0, 0)}
        if os.getppid() != parent:
            # Nobody would hear how they end, and another run may be due.
            for pid in runs:
                os.kill(pid, signal.SIGKILL)
            return
        if not asked:
            continue
        message, handles, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            # Another warm process has taken its place: it ends with its last run.
            is_wanted = False
            continue
        pid = os.fork()
        if pid == 0:
            control.close()
            _serve(Connection(handles[0]))
        os.close(handles[0])
        runs.add(pid)


def _serve(pipe: Connection) -> None:
    """Does the steps that it is asked for, one after the other, until the other side closes; then ends the process."""
    from orchestration import steps

    relay = _Relay(pipe)
    logging.getLogger().handlers[:] = [relay]
    logging.getLogger().setLevel(logging.WARNING)
    for name in ("orchestration", "orchestration.runner.progress"):
        logging.getLogger(name).setLevel(logging.INFO)
    with contextlib.suppress(EOFError, OSError):
        relay.send(("pid", os.getpid()))
        run = pipe.recv()
        CURRENT_RUN.set(run)
        while True:
            relay.send(_do(relay, steps, *pipe.recv()))
    sys.stdout.flush()
    # Not exit(): what ends with the interpreter belongs to the process that this one was forked from.
    os._exit(0)


def _do(relay: _Relay, steps: Any, name: str, args: tuple[Any, ...], variables: dict[str, Any]) -> tuple[str, Any]:
    try:
        found = getattr(steps, name)(*args, **variables)
        if not isinstance(found, Iterator):
            return "done", found
        for item in found:
            relay.send(("item", item))
        return "done", None
    except _SAID as error:
        # Pydantic's errors cannot be pickled.
        kind = next(kind for kind in _SAID if isinstance(error, kind))
        return "raised", kind(steps.scrubbed(str(error)))
    except Exception as error:
        logging.getLogger(__name__).error("%s", steps.scrubbed(traceback.format_exc()))
        return "raised", DbtError(steps.scrubbed(f"{name}: {type(error).__name__}: {error}"))
    finally:
        sys.stdout.flush()


if __name__ == "__main__":
    main()
