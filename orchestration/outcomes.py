"""How the steps of a run end. Every process of the project imports it: it needs neither dbt nor Prefect."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)


class DbtError(RuntimeError):
    """dbt could not run, or the warehouse could not be reached or understood. The text says what to do."""


class DeliveryError(RuntimeError):
    """A receiver did not take what it was sent. The text says what to do, and never has a secret."""


class WarehouseTaken(RuntimeError):
    """Another run is using the warehouse. The text says which."""


class RunCancelled(RuntimeError):
    """Somebody cancelled the run, and its process was killed."""


@dataclass(frozen=True)
class Outcome:
    """How one node of a dbt run, or another part of a step, ended."""

    name: str
    resource_type: str  # dbt's own, or collector, receiver, run, setting, clock
    status: (
        str  # dbt's own: success, pass, warn, fail, error, skipped; of a receiver: refused; of a seed, clock: finding
    )
    message: str
    is_alert: bool = False

    @property
    def is_problem(self) -> bool:
        return self.status not in ("success", "pass", "no-op")

    @property
    def is_broken(self) -> bool:
        """The node could not be computed, or data is not what the project relies on: no alert, a fault."""
        return self.status == "error" or (self.status == "fail" and not self.is_alert)

    @property
    def is_refused(self) -> bool:
        return self.status == "refused"

    def __str__(self) -> str:
        speaks = self.is_refused or self.resource_type == "setting"
        return self.message if speaks else f"{self.resource_type} {self.name} ({self.status}): {self.message}"


@dataclass(frozen=True)
class RunInfo:
    """The Prefect flow run that a step belongs to; empty without Prefect."""

    flow_run: str = ""
    page: str | None = None  # its address in Prefect's UI


NO_RUN = RunInfo()
CURRENT_RUN: ContextVar[RunInfo] = ContextVar("current_run", default=NO_RUN)


@contextmanager
def run_as(info: RunInfo) -> Iterator[None]:
    """Steps that begin in here belong to that flow run."""
    token = CURRENT_RUN.set(info)
    try:
        yield
    finally:
        CURRENT_RUN.reset(token)


def raise_if_broken(outcomes: Iterable[Outcome]) -> None:
    """Raises DbtError with the text of each outcome that is broken or refused; DeliveryError if none is broken."""
    outcomes = list(outcomes)
    # One cause breaks several steps.
    broken = {outcome.message: str(outcome) for outcome in reversed(outcomes) if outcome.is_broken}
    refused = [str(outcome) for outcome in outcomes if outcome.is_refused]
    text = "\n".join([*reversed(broken.values()), *dict.fromkeys(refused)])
    if text:
        raise DbtError(text) if broken else DeliveryError(text)


def outcomes_of(call: Callable[..., list[Outcome]], title: str, *args: Any, **variables: Any) -> list[Outcome]:
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
