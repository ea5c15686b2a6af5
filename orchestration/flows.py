"""The flows: what a run does, as Prefect shows it. The order of the steps is in orchestration/runs.py.

Without a Prefect server the same runs go without a flow: a laptop needs none.
"""

import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.logging.handlers import APILogHandler
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelled, Completed, Failed
from prefect.utilities.urls import url_for

from orchestration import dead_runs, runs
from orchestration.faults import RUN_FAILED, SKIPPED, Faults, File, PrefectVariable, Store
from orchestration.outcomes import (
    DbtError,
    DeliveryError,
    Outcome,
    RunCancelled,
    RunInfo,
    WarehouseTaken,
    run_as,
)
from orchestration.process import Session, session
from orchestration.receivers.base import DEADLINE
from orchestration.settings import Settings, evaluation_interval, is_now, parse_as_of

logger = logging.getLogger(__name__)
# The runs' logs have what this package says, dbt's result lines included. PREFECT_LOGGING_EXTRA_LOGGERS would come too
# late in a worker, which has loaded Prefect before.
_ours = logging.getLogger("orchestration")
_ours.setLevel(logging.INFO)
if not any(isinstance(handler, APILogHandler) for handler in _ours.handlers):
    _ours.addHandler(APILogHandler())
TAGS = ["streaming-ops"]
HAS_BEGUN = Event()  # a run of this process has got past Prefect's beginning
SESSIONS: dict[str, Session] = {}  # by flow run, for whoever cancels it
_MOST = 2000  # characters of a state's message
_MOST_SKIPS = 3
_skips: list[str] = []  # ticks in a row that did not get the warehouse, in this process


def _named(what: str) -> Callable[[], str]:
    """Gives `tick 2026-01-31 12:05`: the instant that the schedule or `as_of` says, UTC."""

    def name() -> str:
        given = (flow_run.parameters or {}).get("as_of")
        at = datetime.fromisoformat(parse_as_of(given)) if given else flow_run.scheduled_start_time
        return f"{what} {(at or datetime.now(UTC)).astimezone(UTC):%Y-%m-%d %H:%M}"

    return name


_flow = partial(flow, persist_result=False, log_prints=False, validate_parameters=True)


@_flow(
    name="streaming-tick",
    flow_run_name=_named("tick"),
    description="Collects offsets and connector states, evaluates the alerts, sends what is due, and brings FCT_ORDERS "
    "up to date. `as_of`: the instant to evaluate, ISO 8601 UTC; by default now.",
)
def streaming_tick(as_of: str | None = None) -> State:
    return _run("tick", partial(runs.tick, is_live=is_now(as_of)), as_of, is_frequent=True)


@_flow(
    name="monitor-streaming",
    flow_run_name=_named("monitor"),
    description="The first half of a tick: collects, evaluates the alerts, and sends what is due.",
)
def monitor_streaming(as_of: str | None = None) -> State:
    return _run("monitor", partial(runs.monitor, is_live=is_now(as_of)), as_of)


@_flow(
    name="streaming-dbt-transform",
    flow_run_name=_named("transform"),
    description="The second half of a tick: brings FCT_ORDERS up to date, if records are pending.",
)
def streaming_dbt_transform(as_of: str | None = None) -> State:
    return _run("transform", partial(runs.transform, is_live=is_now(as_of)), as_of)


@_flow(
    name="nightly-batch",
    flow_run_name=_named("nightly"),
    description="Rebuilds the closed days that late data touched, looks for losses, and applies the retention.",
)
def nightly_batch(as_of: str | None = None) -> State:
    return _run("nightly", partial(runs.nightly, is_live=is_now(as_of)), as_of)


def _run(what: str, run: Callable[..., None], as_of: str | None, is_frequent: bool = False) -> State:
    """Does the run, and says how it ended as a state of Prefect's: its message has the error, and no traceback.

    A scheduled run that is `is_frequent` does not wait: the next one does its work. It is skipped where another run has
    the warehouse, and where it starts so late that the next one is due.
    """
    is_scheduled = is_frequent and deployment.id is not None
    try:
        interval = evaluation_interval()
    except ValueError:
        # dbt says what is wrong with its project file.
        interval = timedelta(minutes=5)
    late = datetime.now(UTC) - (flow_run.scheduled_start_time or datetime.now(UTC))
    if is_scheduled and late >= interval:
        return _skipped(f"It started {late.total_seconds():.0f} s late: the next one is due, and does its work.")
    as_of = parse_as_of(as_of)
    dead_runs.begin()
    HAS_BEGUN.set()
    # A tenth of the interval is for commands by hand, such as `status`; the night outlasts a tick that hangs.
    settings = Settings()
    wait_minutes = settings.streaming_ops_wait_minutes
    if is_scheduled:
        wait_minutes = interval.total_seconds() / 600
    elif deployment.id:
        wait_minutes += settings.streaming_ops_hang_minutes
    info = RunInfo(flow_run.id or "", url_for("flow-run", flow_run.id))
    with run_as(info), session(f"{what} {as_of}", wait_minutes) as here:
        SESSIONS[flow_run.id] = here
        try:
            # If it cannot be opened, the run says why, and reports it.
            with suppress(DbtError):
                here.open()
                dead_runs.end(here.dead_runs)
            run(as_of, _Shown(here))
            _skips.clear()
            state = Completed(message="All steps completed.")
        except WarehouseTaken as taken:
            if is_scheduled:
                _report_skips(what, as_of, taken)
                return _skipped(str(taken))
            if deployment.id:
                # A night that never gets its turn is a fault; by hand, whoever typed it sees it.
                _report(f"{flow_run.flow_name or what} failed", what, as_of, taken)
            state = Failed(message=str(taken)[:_MOST])
        except RunCancelled as cancelled:
            return Cancelled(message=str(cancelled))
        except (DbtError, DeliveryError) as error:
            state = Failed(message=str(error)[:_MOST])
        finally:
            SESSIONS.pop(flow_run.id, None)
        if is_frequent:
            _leave_artifacts(here, as_of, state)
        return state


def _report(name: str, what: str, as_of: str, taken: WarehouseTaken, meaning: str = RUN_FAILED) -> None:
    faults = Faults(as_of, _STORES)
    faults.report(name, [Outcome(what, "run", "error", str(taken))], meaning)
    faults.send(DEADLINE)


def _report_skips(what: str, as_of: str, taken: WarehouseTaken) -> None:
    """One skipped tick is no fault: the next one does its work. Several in a row leave nobody who watches."""
    _skips.append(as_of)
    if len(_skips) >= _MOST_SKIPS:
        _report("ticks are skipped", what, as_of, taken, SKIPPED)


def _skipped(why: str) -> State:
    logger.info("Skipped. %s", why)
    return Completed(name="Skipped", message=why[:_MOST])


@task(cache_policy=NO_CACHE, persist_result=False)
def _task(work: Callable[[], list[Outcome]]) -> State:
    outcomes = work()
    bad = [outcome for outcome in outcomes if outcome.is_broken or outcome.is_refused]
    if bad:
        names = ", ".join(outcome.name for outcome in bad)
        return Failed(message=f"{len(bad)} of {len(outcomes)} failed: {names}"[:_MOST])
    return Completed(message=f"{len(outcomes)} results" if outcomes else "Nothing to do.")


_DESCRIPTIONS = {
    "collect": "Lands offsets of Kafka and states of Kafka Connect in STREAMING.",
    "build": "Runs dbt build for this selection. A firing alert is a result; a broken node is a failure.",
    "deliver": "Sends the notifications that are due to the receivers.",
    "apply_retention": "Deletes what the retention variables allow, a day per statement.",
}


_STORES: list[Store] = [PrefectVariable(), File()]


class _Shown:
    """Does the steps in the run's process, and shows each as a task run: failed where the step is, and nowhere else."""

    stores = _STORES

    def __init__(self, here: Session) -> None:
        self._here, self.call, self.problems = here, here.call, here.problems

    def step(self, title: str, name: str, *args: Any, **variables: Any) -> list[Outcome]:
        outcomes: list[Outcome] = []
        ended: list[Exception] = []
        is_done = False

        def work() -> list[Outcome]:
            nonlocal is_done
            is_done = True
            try:
                outcomes.extend(self._here.step(title, name, *args, **variables))
            except (WarehouseTaken, RunCancelled) as error:
                # For the flow: the task has no part in it.
                ended.append(error)
            return outcomes

        # Without tags: a task that has some asks the server for its turn, and fails where that does not answer.
        shown = _task.with_options(name=title, task_run_name=title, description=_DESCRIPTIONS[name])
        try:
            shown(work, return_state=True)
        except Exception as error:
            logger.warning("%s is not shown in Prefect: %s: %s", title, type(error).__name__, error)
        if not is_done:
            work()
        if ended:
            raise ended[0]
        return outcomes


def _leave_artifacts(here: Session, as_of: str, state: State) -> None:
    """The alerts as a table, and a page of the stream's health. Without the warehouse the page says so."""
    from orchestration.health import alert_table, health_page

    try:
        health = here.call("stream_health", as_of)
    except (DbtError, WarehouseTaken, RunCancelled) as error:
        health = None
        logger.warning("The artifacts lack the alerts: %s", error)
    try:
        if health:
            create_table_artifact(alert_table(health), key="alerts", description=f"Alerts as of {as_of}")
        page = health_page(health, as_of, state.message if state.is_failed() else None, socket.gethostname())
        create_markdown_artifact(page, key="stream-health", description=f"Stream health as of {as_of}")
    except Exception as error:
        # What Prefect does not keep must not fail what was done.
        logger.warning("Prefect did not take the artifacts: %s: %s", type(error).__name__, error)
