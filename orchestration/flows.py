"""The flows: a tick monitors, alerts and transforms. What that means is SQL; here is only the order of it.

Under a Prefect API each step is a task run; without one the same functions run plainly: a laptop needs no server.
"""

import logging
from collections.abc import Iterator
from functools import cache
from typing import Any

from prefect import flow, serve, task
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.context import FlowRunContext

from orchestration.collectors import collect
from orchestration.notify import DeliveryError, deliver, tell_faults
from orchestration.receivers import ping
from orchestration.runner import Dbt, DbtError, Outcome
from orchestration.settings import Settings, parse_as_of, parse_instant

logger = logging.getLogger(__name__)
PREPARED = "resource_type:seed tag:staging"
# UTC. Ticks on the five minutes, as the marks are that they evaluate; the night between two of them: one process at a
# time may write a DuckDB file.
TICKS, NIGHTLY = "*/5 * * * *", "32 1 * * *"


def step(run: Any, *args: Any, **variables: Any) -> Any:
    """Calls a flow or a task: as a run of Prefect's inside a flow run, as the plain function elsewhere."""
    return (run if FlowRunContext.get() else run.fn)(*args, **variables)


@cache
def project() -> Dbt:
    """The dbt project, made ready: landing tables, seeds, staging, and a first load, unless a process has before."""
    dbt, as_of = Dbt(), parse_as_of(None)
    is_loaded = "select {{ load_relation(ref('fct_orders')) is not none }} as is_loaded {{ check_session() }}"
    if dbt.built.get(PREPARED) and dbt.query(is_loaded, as_of)[0]["is_loaded"]:
        return dbt
    dbt.built.forget()
    dbt.run_operation("create_landing_tables", as_of)
    raise_if_broken(dbt.build(PREPARED, as_of))
    if not dbt.query(is_loaded, as_of)[0]["is_loaded"]:
        raise_if_broken(dbt.build("tag:streaming", as_of))
    return dbt


@task(name="collect")
def land_snapshots(as_of: str) -> list[Outcome]:
    """Lands what the collectors bring. Not being able to is an outcome, here and below: it has to be told."""
    try:
        return collect(project(), as_of)
    except DbtError as error:
        return [Outcome("collect", "run", "error", str(error))]


def _count(waiting: str, as_of: str) -> dict[str, Any]:
    """What the macro counts. While its tables are what they were when nothing waited, it need not read them again."""
    dbt = project()
    try:
        left = dbt.query(f"{{{{ {waiting}() }}}}", as_of, settled=dbt.built.token(waiting))[0]
    except DbtError as error:
        if waiting != "waiting_records":
            raise
        # To ask for the tokens saves a count, and a count must do without them.
        logger.warning("Counting without the tables' tokens: %s", error)
        left = dbt.query("{{ pending_records() }}", as_of)[0]
    dbt.built.settle(waiting, left.get("token") if left["pending"] == 0 else None)
    return left


@task(name="dbt build")
def build(select: str, as_of: str, waiting: str | None = None, at_least: int = 1, **variables: Any) -> list[Outcome]:
    """Builds `select`; with `waiting`, a macro that counts, while at least that many wait and one run is not enough."""
    outcomes: list[Outcome] = []
    left = None
    try:
        while True:
            before, left = left, _count(waiting, as_of) if waiting else None
            if left:
                logger.info("%s: %d", waiting.replace("_", " "), left["pending"])
                if left["pending"] < at_least or (before and left["pending"] >= before["pending"]):
                    return outcomes
            outcomes = project().build(select, as_of, **variables)
            if not left or not left["is_partial"] or any(outcome.is_broken for outcome in outcomes):
                return outcomes
    except DbtError as error:
        return [*outcomes, Outcome("dbt", "run", "error", str(error))]


@task(name="apply retention")
def apply_retention(as_of: str) -> list[Outcome]:
    try:
        project().run_operation("apply_retention", as_of)
        return []
    except DbtError as error:
        return [Outcome("apply_retention", "run", "error", str(error))]


@task(name="deliver")
def report(run: str, as_of: str, outcomes: list[Outcome]) -> None:
    """Tells what is due of the alerts. A firing alert is a finding; what could not be computed is a fault: it is told
    by this process itself, and raised. So is a receiver that did not take what it was sent."""
    refused: list[str] = []
    try:
        if any(outcome.is_alert for outcome in outcomes):
            refused += deliver(project(), as_of)
    except DbtError as error:
        outcomes = [*outcomes, Outcome("pending_notifications", "run", "error", str(error))]
    refused += tell_faults(run, as_of, outcomes)
    for problem in refused:
        logger.error("%s", problem)
    raise_if_broken(outcomes)
    if refused:
        raise DeliveryError("\n".join(refused))


@flow(name="monitor-streaming")
def monitor_streaming(as_of: str | None = None) -> None:
    as_of = parse_as_of(as_of)
    collected = step(land_snapshots, as_of)
    step(report, "monitor-streaming", as_of, collected + step(build, "tag:monitoring", as_of))


@flow(name="streaming-dbt-transform")
def streaming_dbt_transform(as_of: str | None = None) -> None:
    as_of = parse_as_of(as_of)
    outcomes = step(build, "tag:streaming", as_of, "waiting_records", Settings().streaming_ops_min_events)
    step(report, "streaming-dbt-transform", as_of, outcomes)


@flow(name="streaming-tick")
def streaming_tick(as_of: str | None = None) -> None:
    """The whole tick. A monitor that fails must not stop the transform: its error is raised after it. Where all went
    well, the heartbeat says so: whoever expects it rings when it stays away."""
    as_of = parse_as_of(as_of)
    try:
        step(monitor_streaming, as_of)
    finally:
        step(streaming_dbt_transform, as_of)
    ping(Settings().heartbeat_url)


@flow(name="nightly-batch")
def nightly_batch(as_of: str | None = None) -> None:
    """Rebuilds the closed days that late data touched, until none is left; looks for losses; applies the retention."""
    as_of = parse_as_of(as_of)
    outcomes = step(build, "tag:batch", as_of, "pending_days", 0)
    outcomes += step(build, "record_completeness+1", as_of, nightly=True)
    step(report, "nightly-batch", as_of, outcomes + step(apply_retention, as_of))


def backfill(first: str, last: str, as_of: str | None = None) -> Iterator[dict[str, Any]]:
    """Loads what landed from `first` up to `last` and no run has found; yields a row for each UTC day with records.

    A day at a time: an interrupted backfill is just run again. The marks of the day are evaluated again, too, and at
    the end what is missing still.
    """
    as_of, start, end = parse_as_of(as_of), parse_instant(first, "from"), parse_instant(last, "to")
    if start >= end:
        raise ValueError(f"a backfill goes from an instant to a later one; it is from {first} to {last}")
    monitored = "select {{ load_relation(ref('record_completeness')) is not none }} as is_built"
    if not project().query(monitored, as_of)[0]["is_built"]:
        raise DbtError("Nothing was monitored yet: run `python -m orchestration tick` first.")
    for day in project().query(f"{{{{ landed_days('{start.isoformat()}', '{end.isoformat()}') }}}}", as_of):
        span = {"backfill_from": day["first_at"], "backfill_to": day["last_at"]}
        loaded = project().query("select coalesce(max(load_id), 0) as id from {{ ref('order_event_records') }}", as_of)
        raise_if_broken(project().build("tag:streaming order_event_buckets", as_of, **span))
        options = ("--exclude", "order_event_buckets", "record_completeness", "--exclude-resource-type", "test")
        raise_if_broken(project().build("tag:monitoring", as_of, *options, **span))
        yield project().query(f"{{{{ backfilled_records({loaded[0]['id']}) }}}}", as_of)[0] | day
    raise_if_broken(project().build("record_completeness+1", as_of, nightly=True))


def raise_if_broken(outcomes: list[Outcome]) -> None:
    broken = [outcome for outcome in outcomes if outcome.is_broken]
    if broken:
        raise DbtError("\n".join(f"{o.resource_type} {o.name} ({o.status}): {o.message}" for o in broken))


def serve_flows() -> None:
    """Serves a tick every five minutes and the batch every night. What would overlap itself is dropped, not queued."""
    alone = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    serve(
        streaming_tick.to_deployment("every-five-minutes", cron=TICKS, concurrency_limit=alone),
        nightly_batch.to_deployment("every-night", cron=NIGHTLY, concurrency_limit=alone),
    )
