"""Runs what the schedule creates: a process that stays alive, with Prefect loaded, and a warm process that has dbt.

Prefect's own `serve` starts a Python for every run, which imports Prefect and dbt and parses the project: three fifths
of what a tick costs. Here a run is a thread for Prefect and a forked process for dbt.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import UTC, datetime
from threading import Event
from typing import Any
from uuid import UUID

import httpx
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.context import refresh_global_settings_context
from prefect.exceptions import ObjectNotFound
from prefect.flow_engine import run_flow
from prefect.schedules import Cron, Interval
from prefect.settings import get_current_settings
from prefect.states import Crashed, Pending

from orchestration import dead_runs
from orchestration.flows import SESSIONS, TAGS, nightly_batch, streaming_tick
from orchestration.process import WARM
from orchestration.settings import evaluation_interval, log_dir

logger = logging.getLogger(__name__)
NIGHTLY = "32 1 * * *"  # UTC
MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)  # evaluation marks are counted from it
NAME = "serve"
_STARTS_SECONDS, _STOPS_SECONDS = 120, 20
_SILENT_LOOKS = 5
_AT_ONCE = 4


def serve_flows() -> None:
    """Serves a tick every `evaluation_interval_minutes` and the batch every night, until SIGTERM or Ctrl-C."""
    interval, stopped = evaluation_interval(), Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with _Api() as api, _Schedule() as schedule:
        WARM.start()
        every = f"every {interval.total_seconds() / 60:g} minutes"
        logger.info("A tick %s, and a batch every night at 01:32 UTC, by %s. Ctrl-C stops.", every, api.url)
        while not stopped.is_set():
            schedule.look()
            api.look(schedule.is_reachable)
            stopped.wait(min(5.0, interval.total_seconds() / 20))
        logger.info("Stopping; a run that is at work has %d s to end.", _STOPS_SECONDS)
    WARM.stop()


class _Schedule:
    """The deployments, and their runs."""

    def __init__(self) -> None:
        self._flows: dict[UUID, Flow[..., Any]] = {}
        self._runs: dict[UUID, Future[None]] = {}
        self.is_reachable = True

    def __enter__(self) -> "_Schedule":
        self._pool = ThreadPoolExecutor(_AT_ONCE, "run")
        self._client: SyncPrefectClient = get_client(sync_client=True).__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        wait(self._runs.values(), timeout=_STOPS_SECONDS)
        for session in list(SESSIONS.values()):
            session.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._client.__exit__(None, None, None)

    def look(self) -> None:
        """Starts the runs that are due, and cancels those that somebody cancelled in Prefect. Raises nothing."""
        try:
            if not self._flows:
                self._register()
            due = self._client.get_scheduled_flow_runs_for_deployments(list(self._flows), datetime.now(UTC))
            self._runs = {run: done for run, done in self._runs.items() if not done.done()}
            for run in due:
                if run.id not in self._runs and run.deployment_id in self._flows:
                    self._runs[run.id] = self._pool.submit(self._execute, run.id, self._flows[run.deployment_id])
            for run in self._runs:
                # One that somebody has deleted is not there any more.
                with suppress(ObjectNotFound):
                    state = self._client.read_flow_run(run).state
                    if state and state.is_cancelling() and str(run) in SESSIONS:
                        SESSIONS[str(run)].cancel()
        except Exception as error:
            if self.is_reachable:
                logger.error("Prefect's server does not answer, and nothing runs until it does: %s", _said(error))
            self.is_reachable = False
            return
        if not self.is_reachable:
            logger.info("Prefect's server answers again.")
        self.is_reachable = True

    def _register(self) -> None:
        tick = streaming_tick.to_deployment(
            NAME, schedule=Interval(evaluation_interval(), anchor_date=MIDNIGHT, timezone="UTC"), tags=TAGS
        )
        night = nightly_batch.to_deployment(NAME, schedule=Cron(NIGHTLY, timezone="UTC"), tags=TAGS)
        self._flows = {tick.apply(): streaming_tick, night.apply(): nightly_batch}

    def _execute(self, run: UUID, flow: Flow[..., Any]) -> None:
        dead_runs.ACTIVE.add(str(run))
        try:
            with get_client(sync_client=True) as client:
                if client.set_flow_run_state(run, Pending()).status != "ACCEPT":
                    # Another `serve` has it.
                    return
                client.update_flow_run(run, infrastructure_pid=dead_runs.here())
                run_flow(flow, flow_run=client.read_flow_run(run), return_type="state")
        except Exception as error:
            logger.error("Prefect did not take how the run %s went: %s", run, _said(error))
            self._crash(run, _said(error))
        finally:
            dead_runs.ACTIVE.discard(str(run))

    def _crash(self, run: UUID, said: str) -> None:
        try:
            with get_client(sync_client=True) as client:
                client.set_flow_run_state(run, Crashed(message=said), force=True)
        except Exception as error:
            logger.warning("The next run shows it as crashed: %s", _said(error))


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip(": ").splitlines()[0][:500]


class _Api:
    """Prefect's API: that of PREFECT_API_URL, or of a server that is started here, and again if it dies."""

    def __init__(self) -> None:
        settings = get_current_settings()
        self.url = settings.api.url or f"http://127.0.0.1:{settings.server.api.port}/api"
        self._is_own, self._port = not settings.api.url, settings.server.api.port
        self._server: subprocess.Popen[bytes] | None = None
        self._silent = 0

    def __enter__(self) -> "_Api":
        if self._is_own and _answers(self.url):
            logger.info("PREFECT_API_URL is not set: using the Prefect server that answers at %s.", self.url)
        elif self._is_own:
            self._start()
        os.environ["PREFECT_API_URL"] = self.url
        refresh_global_settings_context()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server:
            self._server.terminate()
            try:
                self._server.wait(_STOPS_SECONDS)
            except subprocess.TimeoutExpired:
                self._server.kill()

    def look(self, is_reachable: bool) -> None:
        """Starts the server of its own again where it does not answer for a while. Raises nothing."""
        self._silent = 0 if is_reachable else self._silent + 1
        if not self._is_own or self._silent < _SILENT_LOOKS:
            return
        self._silent = 0
        if self._server:
            self._server.kill()
            self._server.wait()
        try:
            self._start()
        except (RuntimeError, OSError) as error:
            logger.error("%s It is tried again.", error)

    def _start(self) -> None:
        folder = log_dir()
        log = folder / "prefect-server.log" if folder else None
        name, where = log or "standard error", f"http://127.0.0.1:{self._port}"
        logger.info("PREFECT_API_URL is not set: starting a Prefect server at %s, with its log in %s.", where, name)
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self._port)]
        with log.open("wb") if log else os.fdopen(os.dup(2), "wb") as file:
            self._server = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )
        began = time.monotonic()
        while not _answers(self.url):
            if self._server.poll() is not None or time.monotonic() - began > _STARTS_SECONDS:
                self._server.kill()
                raise RuntimeError(f"Prefect's server did not start: {name} says why. Is port {self._port} free?")
            time.sleep(0.5)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).is_success
    except httpx.HTTPError:
        return False
