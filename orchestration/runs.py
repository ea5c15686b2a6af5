"""The runs: which steps they take, and in what order. What a step does is in orchestration/steps.py, and is SQL.

`step(title, name, *args, **variables)` does a step and returns its outcomes: in this process by default, in a process
of its own in `python -m orchestration`, and as a task run of Prefect in orchestration/flows.py.
"""

import logging
from typing import Any, Protocol

from orchestration.outcomes import DbtError, Outcome, RunCancelled, WarehouseTaken, raise_if_broken
from orchestration.settings import Settings

logger = logging.getLogger(__name__)


class Step(Protocol):
    def __call__(self, title: str, name: str, *args: Any, **variables: Any) -> list[Outcome]: ...


def outcomes_of(call: Any, title: str, *args: Any, **variables: Any) -> list[Outcome]:
    """What `call` returns. That it could not be done is an outcome too: it has to be reported."""
    try:
        return call(*args, **variables)
    except (WarehouseTaken, RunCancelled):
        raise
    except DbtError as error:
        logger.error("%s: %s", title, error)
        return [Outcome(title, "run", "error", str(error))]
    except Exception as error:
        # Nobody has thought of this one: it is reported all the same.
        logger.error("%s: %s: %s", title, type(error).__name__, error)
        return [Outcome(title, "run", "error", f"{type(error).__name__}: {error}")]


def here(title: str, name: str, *args: Any, **variables: Any) -> list[Outcome]:
    """The step, in this process: for tests and benchmarks."""
    from orchestration import steps

    return outcomes_of(getattr(steps, name), title, *args, **variables)


def monitor(as_of: str, step: Step = here) -> None:
    """Collects, evaluates, and sends the notifications that are due."""
    outcomes = step("collect", "collect", as_of)
    outcomes += step("dbt build tag:monitoring", "build", "tag:monitoring", as_of)
    _report("monitor-streaming", as_of, outcomes, step)


def transform(as_of: str, step: Step = here) -> None:
    """Brings FCT_ORDERS up to date, if enough records are pending."""
    least = Settings().streaming_ops_min_events
    outcomes = step("dbt build tag:streaming", "build", "tag:streaming", as_of, "waiting_records", least)
    _report("streaming-dbt-transform", as_of, outcomes, step)


def tick(as_of: str, step: Step = here) -> None:
    """Both. A monitor that fails does not stop the transform. The heartbeat says that all went well: the service that
    expects it notifies somebody when it does not come."""
    problems: list[Exception] = []
    for run in (monitor, transform):
        try:
            run(as_of, step)
        except (WarehouseTaken, RunCancelled):
            raise
        except Exception as error:
            problems.append(error)
    if problems:
        raise problems[0] if len(problems) == 1 else DbtError("\n".join(map(str, problems)))
    if heartbeat := Settings().heartbeat_url:
        from orchestration.receivers import ping

        ping(heartbeat)


def nightly(as_of: str, step: Step = here) -> None:
    """Rebuilds the closed days that late data touched, until none is left; looks for losses; applies the retention."""
    outcomes = step("dbt build tag:batch", "build", "tag:batch", as_of, "pending_days", 0)
    outcomes += step("dbt build record_completeness", "build", "record_completeness+1", as_of, nightly=True)
    outcomes += step("apply retention", "apply_retention", as_of)
    _report("nightly-batch", as_of, outcomes, step)


def _report(run: str, as_of: str, outcomes: list[Outcome], step: Step) -> None:
    """Sends what is due of the alerts. A firing alert is a finding; what could not be computed is a fault: this process
    itself sends it, without the warehouse, and it is raised. So is a receiver that refused."""
    if any(outcome.is_alert for outcome in outcomes):
        outcomes = outcomes + step("send notifications", "deliver", as_of)
    from orchestration.notify import report_faults

    refused = report_faults(run, as_of, outcomes)
    for problem in refused:
        logger.error("%s", problem)
    raise_if_broken([*outcomes, *(Outcome("faults", "receiver", "refused", problem) for problem in refused)])
