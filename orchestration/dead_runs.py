"""Flow runs whose process has died: Prefect shows them as running for ever, unless somebody says so."""

import logging
import os
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.runtime import deployment, flow_run
from prefect.states import Crashed

from orchestration.machine import is_gone, machine
from orchestration.settings import Settings

logger = logging.getLogger(__name__)
FLOWS = ["streaming-tick", "nightly-batch", "monitor-streaming", "streaming-dbt-transform"]
ACTIVE: set[str] = set()  # the flow runs that a thread of this process is at
_OPEN = ["PENDING", "RUNNING", "CANCELLING"]
_LABEL = "streaming-ops.process"
_SLACK = timedelta(minutes=5)


def begin() -> None:
    """Notes on this flow run which process it is in."""
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run_labels(UUID(flow_run.id), {_LABEL: here()})
    except Exception as error:
        _warn(error)


def end(owners: list[str]) -> None:
    """Sets them to Crashed. To be called by a run that has the warehouse: no other one is at work in it then.

    `owners`: the flow runs that had the warehouse when they died. Others are dead if they were on this machine, and
    their process is gone; and if they are of this deployment, and older than any run may wait for its turn. A run whose
    process is there is not: it lost its turn, and reports that itself.
    """
    try:
        with get_client(sync_client=True) as client:
            flows = FlowFilter(name={"any_": FLOWS})
            runs = client.read_flow_runs(
                flow_filter=flows, flow_run_filter=FlowRunFilter(state={"type": {"any_": _OPEN}})
            )
            for run in runs:
                if str(run.id) != flow_run.id and _is_dead(run, str(run.id) in owners):
                    state = Crashed(message="Its process ended without saying how: killed, or the machine went down.")
                    client.set_flow_run_state(run.id, state, force=True)
                    logger.info("%s has died: it is shown as crashed now", run.name)
    except Exception as error:
        _warn(error)


def here() -> str:
    """This process, as a flow run names it."""
    return f"{machine()}:{os.getpid()}"


def _is_dead(run: Any, was_owner: bool) -> bool:
    where, _, pid = ((run.labels or {}).get(_LABEL) or run.infrastructure_pid or "").rpartition(":")
    if where == machine() and pid.isdigit():
        if is_gone(int(pid)) or (int(pid) == os.getpid() and str(run.id) not in ACTIVE):
            return True
        was_owner = False
    settings = Settings()
    waits = timedelta(minutes=settings.streaming_ops_wait_minutes + settings.streaming_ops_hang_minutes)
    is_old = run.state is not None and datetime.now(UTC) - run.state.timestamp > waits + _SLACK
    return was_owner or (is_old and deployment.id is not None and str(run.deployment_id) == deployment.id)


def _warn(error: Exception) -> None:
    # A display must not fail what it shows.
    logger.warning("Prefect was not asked for runs that died: %s: %s", type(error).__name__, error)
