"""The steps of the runs, in the process that has dbt and the warehouse. What they do is SQL.

Prefect is not in here: orchestration/runs.py has their order, and orchestration/flows.py shows them in Prefect.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from rich.console import Console

from orchestration import collectors, guard, notify, seeds
from orchestration.outcomes import DbtError, Outcome, raise_if_broken
from orchestration.receivers import DEADLINE, RECEIVERS
from orchestration.runner import Dbt, scrubbed
from orchestration.settings import PROJECT_DIR, Settings, parse_as_of, parse_instant

__all__ = ["scrubbed"]  # for warm.py, which imports nothing of dbt before
logger = logging.getLogger(__name__)
PREPARED = "resource_type:seed tag:staging"
_open = ExitStack()
_broken_seeds: list[Outcome] = []


@cache
def dbt() -> Dbt:
    return Dbt()


@cache
def project() -> Dbt:
    """The dbt project, made ready: landing tables, seeds, staging, and a first load, unless a process has before."""
    if dbt().built.get(PREPARED):
        return dbt()
    as_of = parse_as_of(None)
    is_loaded = "select {{ load_relation(ref('fct_orders')) is not none }} as is_loaded {{ check_session() }}"
    dbt().run_operation("create_landing_tables", as_of)
    dbt().forget()
    outcomes = dbt().build(PREPARED, as_of)
    # A seed that cannot be loaded stays as it was, if it ever was, and is reported by itself.
    wrong = [outcome for outcome in outcomes if outcome.is_broken and outcome.resource_type == "seed"]
    raise_if_broken(outcome for outcome in wrong if not _is_built(outcome.name, as_of))
    _broken_seeds.extend(wrong)
    raise_if_broken(outcome for outcome in outcomes if outcome not in wrong)
    if not dbt().query(is_loaded, as_of)[0]["is_loaded"]:
        raise_if_broken(dbt().build("tag:streaming", as_of))
    return dbt()


def take(what: str, wait_seconds: float, uses: str) -> list[str]:
    """Takes the warehouse for this process, until release(). Returns the Prefect flow runs of owners that died.

    What only reads needs no turn on Snowflake; a DuckDB file is opened by one process at a time.
    """
    if uses == "nothing":
        return []
    me, is_snowflake = guard.owner(what), dbt().adapter == "snowflake"
    if is_snowflake and uses == "reads":
        return []
    if is_snowflake:
        turn: guard.Guard = guard.LeaseGuard(dbt(), me, parse_as_of(None))
    else:
        turn = guard.FileGuard(Settings().streaming_ops_duckdb_path.resolve(), me)
    return _open.enter_context(guard.guarded(turn, wait_seconds))


def release() -> None:
    """Closes the warehouse, and gives it back."""
    dbt().close()
    _open.close()


def run_state(as_of: str) -> dict[str, Any]:
    """What earlier runs remember: `values` by name; `evaluated_at`, the newest evaluation of any alert; `repaired`,
    whether somebody had built views that return no rows, or only a sample, and that were rebuilt just now; and as
    outcomes which of these are `broken`."""
    project()
    state: dict[str, Any] = {"values": {}, "evaluated_at": None, "repaired": False, "broken": []}
    try:
        rows = dbt().query("{{ run_state() }}", as_of)
        state["evaluated_at"] = rows[0]["evaluated_at"]
        state["values"] = {str(row["name"]): str(row["value"]) for row in rows if row["name"] is not None}
    except Exception as error:
        # Without it a fault may be reported twice. The next run creates the tables again.
        logger.warning("What earlier runs remember cannot be read: %s", error)
        dbt().forget()
    by_hand = {name: value for name, value in state["values"].items() if name.startswith("built_by_hand ")}
    if by_hand:
        dbt().forget()
    if "partial" in by_hand.values():
        options = ("--exclude-resource-type", "test")
        if not _is_built("orders_daily", as_of):
            # The night makes what the views of the batch read.
            options += ("--exclude", "tag:batch")
        outcomes = dbt().build("config.materialized:view", as_of, *options)
        state["broken"] = [outcome for outcome in outcomes if outcome.is_broken]
        state["repaired"] = not state["broken"]
    if by_hand and not state["broken"]:
        try:
            dbt().run_operation("forget_state", as_of, names=list(by_hand))
        except DbtError as error:
            logger.warning("The next run rebuilds the views again: %s", error)
    return state


def _is_built(model: str, as_of: str) -> bool:
    built = f"select {{{{ load_relation(ref('{model}')) is not none }}}} as is_built"
    return bool(dbt().query(built, as_of)[0]["is_built"])


def is_monitored() -> bool:
    """Whether a tick has built what completeness is evaluated from."""
    project()
    return all(_is_built(model, parse_as_of(None)) for model in ("consumer_lag", "record_completeness"))


def has_landed(as_of: str) -> bool:
    """Whether anything is as old as `as_of`."""
    return bool(project().query("{{ has_landed() }}", as_of)[0]["has_landed"])


def remember(name: str, value: str) -> None:
    """Keeps a text for later runs."""
    now = datetime.now(UTC)
    dbt().run_operation("remember_state", parse_as_of(None), name=name, value=value, stored_at=now.isoformat())


def collect(as_of: str) -> list[Outcome]:
    """Lands what the collectors bring."""
    return collectors.collect(project(), as_of)


def build(select: str, as_of: str, waiting: str | None = None, at_least: int = 1, **variables: Any) -> list[Outcome]:
    """Builds `select`; with `waiting`, a macro that counts, while at least that many wait and one run is not enough."""
    left = None
    outcomes: list[Outcome] = []
    while True:
        before, left = left, _count(waiting, as_of) if waiting else None
        if left:
            logger.info("%s: %d", waiting.replace("_", " "), left["pending"])
            if left["pending"] < at_least or (before and left["pending"] >= before["pending"]):
                return outcomes
        outcomes = project().build(select, as_of, **variables)
        if not left or not left["is_partial"] or any(outcome.is_broken for outcome in outcomes):
            return outcomes


def _count(waiting: str, as_of: str) -> dict[str, Any]:
    """What the macro counts. While its tables are what they were when nothing waited, it need not read them again."""
    try:
        left = project().query(f"{{{{ {waiting}() }}}}", as_of, settled=project().built.token(waiting))[0]
    except DbtError as error:
        if waiting != "waiting_records":
            raise
        # To ask for the tokens saves a count, and a count must do without them.
        logger.warning("Counting without the tables' tokens: %s", error)
        left = project().query("{{ pending_records() }}", as_of)[0]
    project().built.settle(waiting, left.get("token") if left["pending"] == 0 else None)
    return left


def apply_retention(as_of: str) -> list[Outcome]:
    project().run_operation("apply_retention", as_of)
    return []


def deliver(as_of: str, seconds: float = DEADLINE) -> list[Outcome]:
    """Sends what is due of the alerts, for so many seconds at the most. Each receiver that was called is an outcome."""
    return notify.deliver(project(), as_of, seconds, _are_routes_wrong)


def _are_routes_wrong() -> bool:
    return any(finding.file == "seeds/alert_routes.csv" for finding in seed_findings())


def backfill(first: str, last: str, as_of: str | None = None) -> Iterator[dict[str, Any]]:
    """Loads what landed from `first` up to `last` and no run has found; yields a row for each UTC day with records.

    A day at a time: an interrupted backfill is just run again. The marks of the day are evaluated again, too, and at
    the end what is missing still.
    """
    as_of, start, end = parse_as_of(as_of), parse_instant(first, "from"), parse_instant(last, "to")
    if start >= end:
        raise ValueError(f"a backfill goes from an instant to a later one; it is from {first} to {last}")
    if not is_monitored():
        raise DbtError("Nothing was monitored yet: run `python -m orchestration tick` first.")
    for day in project().query(f"{{{{ landed_days('{start.isoformat()}', '{end.isoformat()}') }}}}", as_of):
        span = {"backfill_from": day["first_at"], "backfill_to": day["last_at"]}
        loaded = project().query("select coalesce(max(load_id), 0) as id from {{ ref('order_event_records') }}", as_of)
        raise_if_broken(project().build("tag:streaming order_event_buckets", as_of, **span))
        options = ("--exclude", "order_event_buckets", "record_completeness", "--exclude-resource-type", "test")
        raise_if_broken(project().build("tag:monitoring", as_of, *options, **span))
        yield project().query(f"{{{{ backfilled_records({loaded[0]['id']}) }}}}", as_of)[0] | day
    raise_if_broken(project().build("record_completeness+1", as_of, nightly=True))


def produce(until: str, **options: Any) -> None:
    """Continues the generated order stream in the landing tables."""
    project().run_operation("generate_stream", until, **options)


def last_collected() -> Any:
    """When the newest sample of offsets was taken; None where there is none."""
    reached = "select max(collected_at) as at from {{ source('streaming', 'kafka_offsets') }}"
    return project().query(reached, parse_as_of(None))[0]["at"]


def alert_names() -> list[str]:
    return sorted(dbt().alerts())


def stream_health(as_of: str) -> Any:
    """The last measurement of every alert and the state of FCT_ORDERS, as plain rows."""
    from orchestration.health import stream_health

    return stream_health(dbt(), as_of)


def show_health(as_of: str) -> bool:
    from orchestration.health import show_health

    return show_health(dbt(), as_of, console())


def show_alerts(as_of: str) -> bool:
    from orchestration.health import show_alerts

    return show_alerts(dbt(), as_of, console())


def parsed_alerts() -> list[seeds.Alert]:
    """The alerts as the project has them, to compare the files with."""
    dbt().parse()
    return [
        seeds.Alert(
            name=node.name,
            owner=node.config.meta.get("owner", ""),
            tags=[tag for tag in node.tags if tag != "alert"],
            file=node.original_file_path,
            # A test that is a file of its own has no arguments.
            arguments=getattr(getattr(node, "test_metadata", None), "kwargs", {}),
        )
        for node in dbt()._manifest.nodes.values()
        if "alert" in node.tags
    ]


def seed_findings() -> list[seeds.Finding]:
    """What is wrong with the files that people edit; without the alerts where the project cannot be parsed."""
    alerts = None
    with suppress(DbtError):
        alerts = parsed_alerts()
    return seeds.findings(PROJECT_DIR, RECEIVERS, alerts)


def wrong_seeds() -> list[Outcome]:
    """The same as outcomes, for the receivers; and each seed that cannot be loaded for another reason."""
    found = seed_findings()
    files = {finding.file for finding in found}
    broken = [replace(o, status="finding") for o in _broken_seeds if f"seeds/{o.name}.csv" not in files]
    return [*(finding.outcome for finding in found), *broken]


def show_check() -> bool:
    from orchestration.check import show_check

    def query() -> None:
        take("check", 60 * Settings().streaming_ops_wait_minutes, "reads")
        dbt().query("select 1 as one", parse_as_of(None))

    return show_check(console(), query, seed_findings)


def console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=160)
