"""The runs: which steps they take, and in what order. What a step does is in orchestration/steps.py, and is SQL."""

import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Protocol

from orchestration import faults, seeds
from orchestration.faults import Faults
from orchestration.outcomes import DbtError, Outcome, RunCancelled, WarehouseTaken, outcomes_of, raise_if_broken
from orchestration.receivers import DEADLINE, RECEIVERS
from orchestration.settings import PROJECT_DIR, Settings, evaluation_interval

logger = logging.getLogger(__name__)
_LEAST_SECONDS = 5  # each receiver gets at least this long, even if others used up the deadline
_VIEWS = "Somebody built views with --empty or --sample: they returned no rows, or only a sample. They were rebuilt."


class Here(Protocol):
    """Does the steps: in this process, in one of its own (orchestration/process.py), or shown by Prefect (flows.py)."""

    problems: list[Outcome]  # that came before the run, and are reported with it

    def call(self, name: str, *args: Any, **variables: Any) -> Any:
        """Returns what the step does. Raises DbtError where it cannot be done."""
        ...

    @property
    def stores(self) -> list[faults.Store]:
        """Where to keep what was sent of faults, besides the warehouse."""
        ...

    def step(self, title: str, name: str, *args: Any, **variables: Any) -> list[Outcome]:
        """Returns the step's outcomes. One that cannot be done is an outcome, too."""
        ...


class InProcess:
    """The steps in this process: for tests and benchmarks."""

    def __init__(self) -> None:
        self.problems: list[Outcome] = []
        self.stores: list[faults.Store] = [faults.File()]

    def call(self, name: str, *args: Any, **variables: Any) -> Any:
        from orchestration import steps

        return getattr(steps, name)(*args, **variables)

    def step(self, title: str, name: str, *args: Any, **variables: Any) -> list[Outcome]:
        return outcomes_of(lambda: self.call(name, *args, **variables), title)


class _Warehouse:
    """Keeps a text in MONITORING.RUN_STATE."""

    def __init__(self, here: Here, text: str | None) -> None:
        self._here, self._text = here, text

    def read(self) -> str | None:
        return self._text

    def write(self, text: str) -> None:
        self._here.call("remember", "faults", text)


class Run:
    """The beginning and the end that all runs have. The two runs of a tick share one."""

    def __init__(self, as_of: str, here: Here | None = None, is_live: bool = True) -> None:
        """`is_live`: `as_of` is now. Only then is anything collected, and only then are faults reported: who asks for
        another moment sees how it ends."""
        self.as_of, self.here, self.is_live = as_of, here or InProcess(), is_live
        self._seconds = float(DEADLINE)
        self._problems: list[Outcome] = []
        self._raised: set[str] = set()
        self.is_possible = True
        state: dict[str, Any] = {}
        try:
            state = self.here.call("run_state", as_of)
        except (WarehouseTaken, RunCancelled):
            raise
        except Exception as error:
            # The steps need what could not be prepared.
            self.is_possible = False
            kind = "" if isinstance(error, DbtError) else f"{type(error).__name__}: "
            self._problems.append(Outcome("warehouse", "run", "error", f"{kind}{error}"))
            logger.error("%s%s", kind, error)
        stored = state.get("values", {}).get("faults")
        warehouse = [_Warehouse(self.here, stored)] if self.is_possible else []
        self.faults = Faults(as_of, [*warehouse, *self.here.stores])
        self._report("Prefect API does not answer", self.here.problems)
        self._report("ticks are skipped", [])
        if self.is_possible:
            repaired = [Outcome("views", "run", "finding", _VIEWS)] if state["repaired"] else []
            self._report("views returned no rows", [*repaired, *state["broken"]], faults.VIEWS_WRONG, "warn")
            self._report("clock is wrong", _ahead(as_of, state["evaluated_at"]), faults.CLOCK_WRONG, "warn")

    def step(self, title: str, name: str, *args: Any, **variables: Any) -> list[Outcome]:
        return self.here.step(title, name, *args, **variables)

    def _deliver(self) -> list[Outcome]:
        began = time.monotonic()
        outcomes = self.step("send notifications", "deliver", self.as_of, self._seconds)
        self._spend(began)
        for outcome in outcomes:
            if outcome.resource_type == "receiver" and self.is_live:
                self.faults.receiver(outcome)
        return outcomes

    def end(self, name: str, outcomes: list[Outcome]) -> None:
        """Sends what is due of the alerts. Reports and raises what could not be done. A firing alert is no fault."""
        # Without the marks of this run nobody would know what was sent before.
        if any(_is_judged(outcome) for outcome in outcomes):
            outcomes = outcomes + self._deliver()
        wrong = [Outcome(p.variable, "setting", "error", str(p)) for p in Settings().problems]
        self._report("settings are wrong", wrong, faults.SETTINGS_WRONG)
        known = {outcome.message for outcome in wrong}
        broken = [o for o in [*self._problems, *outcomes] if o.is_broken and o.message not in known]
        blind = [o.name for o in outcomes if o.is_alert and not _is_judged(o)]
        self._report(f"{name} failed", broken, blind=blind)
        began = time.monotonic()
        refused = self.faults.send(self._seconds)
        self._spend(began)
        for outcome in refused:
            # For the log of the run in Prefect.
            logger.error("%s", outcome)
        # What stopped the monitor of a tick stops its transform too, and is raised once.
        ended = [o for o in [*broken, *wrong, *outcomes, *refused] if o.message not in self._raised]
        self._raised |= {outcome.message for outcome in ended if outcome.is_broken or outcome.is_refused}
        raise_if_broken(ended)

    def check_seeds(self) -> list[Outcome]:
        """Reports what is wrong with the seeds. Returns that it could not be found out."""
        if self.is_possible:
            found = outcomes_of(self.here.call, "seeds", "wrong_seeds")
        else:
            # Without dbt, which perhaps cannot read one of them.
            found = [finding.outcome for finding in seeds.findings(PROJECT_DIR, RECEIVERS, None)]
        for outcome in found:
            logger.warning("%s: %s", outcome.name, outcome.message)
        broken = [outcome for outcome in found if outcome.is_broken]
        if not broken:
            self._report("seeds are wrong", found, faults.SEEDS_WRONG, "warn")
        return broken

    def _report(self, *args: Any, **more: Any) -> None:
        if self.is_live:
            self.faults.report(*args, **more)

    def _spend(self, began: float) -> None:
        """All deliveries of a tick have one deadline: the transform waits for them."""
        self._seconds = max(_LEAST_SECONDS, self._seconds - (time.monotonic() - began))


def monitor(as_of: str, here: Here | None = None, is_live: bool = True, run: Run | None = None) -> None:
    """Collects, evaluates, and sends the notifications that are due."""
    run = run or Run(as_of, here, is_live)
    outcomes = run.check_seeds()
    if run.is_possible:
        if not (run.is_live or run.here.call("has_landed", as_of)):
            raise DbtError(
                f"as-of is {as_of}, before all data: nothing had landed by then, so nothing can be evaluated."
            )
        outcomes += run.step("collect", "collect", as_of) if run.is_live else []
        outcomes += run.step("dbt build tag:monitoring", "build", "tag:monitoring", as_of)
        outcomes += _not_evaluated(outcomes)
    run.end("monitor-streaming", outcomes)


def transform(as_of: str, here: Here | None = None, is_live: bool = True, run: Run | None = None) -> None:
    """Brings FCT_ORDERS up to date, if enough records are pending."""
    run = run or Run(as_of, here, is_live)
    least, outcomes = Settings().streaming_ops_min_events, []
    if run.is_possible:
        outcomes = run.step("dbt build tag:streaming", "build", "tag:streaming", as_of, "waiting_records", least)
    run.end("streaming-dbt-transform", outcomes)


def tick(as_of: str, here: Here | None = None, is_live: bool = True) -> None:
    """Both. A monitor that fails does not stop the transform. The heartbeat says that all went well: the service that
    expects it notifies somebody when it does not come."""
    run = Run(as_of, here, is_live)
    problems: list[Exception] = []
    try:
        monitor(as_of, run=run)
    except (WarehouseTaken, RunCancelled):
        raise
    except Exception as error:
        problems.append(error)
    if run.is_possible:
        try:
            transform(as_of, run=run)
        except (WarehouseTaken, RunCancelled):
            raise
        except Exception as error:
            problems.append(error)
    if problems:
        raise problems[0] if len(problems) == 1 else DbtError("\n".join(map(str, problems)))
    if is_live and (heartbeat := Settings().heartbeat_url):
        from orchestration.receivers import ping

        ping(heartbeat)


def nightly(as_of: str, here: Here | None = None, is_live: bool = True) -> None:
    """Rebuilds the closed days that late data touched, until none is left; looks for losses; applies the retention."""
    run = Run(as_of, here, is_live)
    outcomes = []
    if run.is_possible:
        outcomes += run.step("dbt build tag:batch", "build", "tag:batch", as_of, "pending_days", 0)
        if run.here.call("is_monitored"):
            # With the marks, for alerts are judged as of these.
            select = "evaluation_marks record_completeness+1"
            outcomes += run.step("dbt build record_completeness", "build", select, as_of, nightly=True)
        else:
            logger.info("No losses are looked for: nothing was monitored yet. A tick comes first.")
        outcomes += run.step("apply retention", "apply_retention", as_of)
    run.end("nightly-batch", outcomes)


def _is_judged(outcome: Outcome) -> bool:
    return outcome.is_alert and outcome.status in ("pass", "warn", "fail")


def _not_evaluated(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """A tick that judges no alert is a failure, also where dbt is content: nobody would be notified of anything."""
    if any(_is_judged(outcome) or outcome.is_broken for outcome in outcomes):
        return []
    return [Outcome("alerts", "run", "error", "No alert was evaluated: dbt selected none. Look at dbt_project.yml.")]


def _ahead(as_of: str, evaluated_at: Any) -> list[Outcome]:
    """An evaluation that is more than an interval later than now."""
    if evaluated_at is None:
        return []
    newest, now = datetime.fromisoformat(str(evaluated_at)).replace(tzinfo=UTC), datetime.fromisoformat(as_of)
    # dbt says what is wrong with its project file.
    with suppress(ValueError):
        if newest - now > evaluation_interval():
            said = f"The newest evaluation is of {newest:%Y-%m-%d %H:%M:%S} UTC; this tick's clock says "
            return [Outcome("clock", "run", "finding", f"{said}{now:%Y-%m-%d %H:%M:%S}.")]
    return []
