"""The health table: every alert's last measurement against its limit, and how fresh ANALYTICS.FCT_ORDERS is."""

import json
import re
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestration.receivers.clean import plain
from orchestration.settings import NO_LOG, log_file

if TYPE_CHECKING:
    from orchestration.runner import Dbt

_STATES = [("ok", "green"), ("WARN", "yellow"), ("ERROR", "bold red")]
# What columns of their own need; where there is less they share one.
_WIDE = 140
_ORDERS = """
select
    (select count(*) from {{ ref('fct_orders') }}) as orders,
    (select max(load_id) from {{ ref('fct_orders') }}) as loads,
    (select max(loaded_at) from {{ ref('fct_orders') }}) as loaded_at,
    (select max(case when landed_at <= loaded_at then landed_at end) from {{ ref('fct_order_events') }}) as landed_at,
    (select count(*) from {{ ref('rejected_order_events') }}) as rejected,
    (select pending from ({{ pending_records() }}) as waiting) as pending,
    {{ dbt.datediff('(select max(loaded_at) from ' ~ ref('fct_orders') ~ ')', as_of(), 'second') }} as age_seconds
"""

_EVALUATED = """
select
    max(run_at) as evaluated_at,
    {{ dbt.datediff('max(run_at)', as_of(), 'second') }} > {{ var('monitoring_stale_warn_seconds') }} as is_stale,
    (select max(as_of) from {{ ref('evaluation_marks') }}) as last_as_of
from {{ source('monitoring', 'test_results') }}
where level is not null and run_at <= {{ as_of() }}
"""

# What is open, and what was resolved in the last day.
_ALERTS = """
select
    alerts.alert, alerts.state, alerts.severity, alerts.is_muted, alerts.opened_at, alerts.resolved_at, alerts.bad_runs,
    alerts.evaluated_at > alerts.last_seen_at as is_good,
    alerts.entity_count, {{ variant_to_json('alerts.entities') }} as entities, told.receivers, told.told_at
from {{ ref('alerts') }} as alerts
left join (
    select alert, opened_at, max(notified_at) as told_at,
        {{ dbt.listagg('distinct receiver', "', '", 'order by receiver') }} as receivers
    from {{ source('monitoring', 'notifications') }}
    where outcome = 'accepted'
    group by alert, opened_at
) as told on alerts.alert = told.alert and alerts.opened_at = told.opened_at
where alerts.resolved_at is null or alerts.resolved_at > {{ dbt.dateadd('day', -1, as_of()) }}
order by alerts.resolved_at is not null, alerts.opened_at, alerts.alert
"""


Rows = list[dict[str, Any]]


def stream_health(dbt: "Dbt", as_of: str) -> dict[str, Rows]:
    """`alerts`: the worst last measurement of each alert, the worst first; `orders`: a row on FCT_ORDERS."""
    rows = dbt.query("{{ alert_status() }}", as_of)
    worst = [_worst([r for r in rows if r["alert"] == alert]) for alert in sorted({r["alert"] for r in rows})]
    is_evaluated = any(row["evaluated_at"] for row in rows)
    return {
        "alerts": sorted(worst, key=lambda r: (-_open_level(r), -int(r["level"]), not r["is_stale"])),
        "orders": dbt.query(_ORDERS, as_of) if is_evaluated else [],
    }


def show_health(dbt: "Dbt", as_of: str, console: Console) -> bool:
    """Prints the table as of `as_of`; returns whether all is well. Says so if nothing was evaluated yet."""
    health = stream_health(dbt, as_of)
    worst = health["alerts"]
    evaluated = [row["evaluated_at"] for row in worst if row["evaluated_at"]]
    if not evaluated:
        console.print("Nothing has been evaluated yet: run `make tick`.")
        return False
    table = Table(box=box.SIMPLE_HEAD, title=f"Stream health, evaluated {max(evaluated)} UTC", title_justify="left")
    is_wide = console.width >= _WIDE
    for column in ("alert", "state", "worst entity", *(("measured", "expected", "since (UTC)") if is_wide else ())):
        table.add_column(column, overflow="fold", no_wrap=column in ("alert", "state"))
    for row in worst:
        state, style = _state(row)
        since = str(row["since"])[5:16] if row["since"] else ""
        muted_by = f", muted by {row['muted_by']}" if row["muted_by"] else ""
        facts = (row["entity"], f"{row['measured'] or ''}{muted_by}", row["allowed"], since)
        cells = [plain(str(fact or ""), 120) for fact in facts]
        if not is_wide:
            labels = ("", "", "expected ", "since ")
            cells = [", ".join(label + cell for label, cell in zip(labels, cells, strict=True) if cell)]
        # Text(): what comes from outside must not be read as markup.
        table.add_row(row["alert"], Text(state, style=style), *(Text(cell) for cell in cells))
    console.print(table)
    console.print(_orders_line(health["orders"][0]), soft_wrap=True)
    return not any(_open_level(row) > 0 or row["is_stale"] for row in worst)


def _open_level(row: dict[str, Any]) -> int:
    return 0 if row["muted_by"] else int(row["level"])


def _worst(rows: list[dict[str, Any]]) -> dict[str, Any]:
    def place(row: dict[str, Any]) -> tuple[float | str, ...]:
        return -_open_level(row), -int(row["level"]), -float(row["measured_value"] or 0), str(row["entity"])

    return min(rows, key=place)


def _state(row: dict[str, Any]) -> tuple[str, str]:
    """In words, and its style."""
    state, style = _STATES[int(row["level"])]
    if row["is_stale"]:
        # A measurement from before the monitor stopped is not healthy, whatever it says.
        return f"STALE, {state}", "bold yellow"
    return (f"{state}, muted", "dim") if row["muted_by"] else (state, style)


def _ago(seconds: int) -> str:
    """Nothing for a load that is later than the moment that was asked for."""
    return f" ({seconds} s before)" if seconds >= 0 else ""


def _orders_line(facts: dict[str, Any]) -> str:
    if facts["loaded_at"] is None:
        return "ANALYTICS.FCT_ORDERS is empty."
    return (
        f"ANALYTICS.FCT_ORDERS: {int(facts['orders']):,} orders, loaded {facts['loaded_at']} UTC"
        f"{_ago(int(facts['age_seconds']))}, newest record landed {str(facts['landed_at'])[:19]} UTC; "
        f"{int(facts['pending']):,} records pending, {int(facts['rejected']):,} rejected."
    )


def alert_table(health: dict[str, Rows]) -> Rows:
    """A row for each alert, as text: for an artifact of Prefect's."""
    return [
        {
            "alert": row["alert"],
            "state": _state(row)[0],
            "worst entity": plain(str(row["entity"] or ""), 120),
            "measured": plain(str(row["measured"] or ""), 120),
            "expected": plain(str(row["allowed"] or ""), 120),
            "since (UTC)": str(row["since"] or "")[:16],
            "muted by": plain(str(row["muted_by"] or ""), 120),
        }
        for row in health["alerts"]
    ]


def health_page(health: dict[str, Rows] | None, as_of: str, problem: str | None, host: str) -> str:
    """The stream's health in Markdown: what is wrong, how fresh FCT_ORDERS is, and where to look."""
    lines = [f"# Stream health, {as_of}", ""]
    if problem:
        lines += ["**The run failed.** What could not be evaluated keeps its previous state.", ""]
        # An indented block: what is in it is no markup.
        lines += [f"    {plain(line, 500)}" for line in problem.splitlines()] + [""]
    if health is None:
        lines += ["The state of the alerts could not be read.", ""]
    else:
        bad = [row for row in health["alerts"] if _open_level(row) or row["is_stale"]]
        muted = sum(bool(row["muted_by"]) for row in health["alerts"] if int(row["level"]))
        lines += [f"{len(bad)} of {len(health['alerts'])} alerts need attention; {muted} more are muted.", ""]
        if bad:
            lines += [
                "| alert | state | worst entity | measured | expected | since (UTC) |",
                "|---|---|---|---|---|---|",
            ]
        for row in bad:
            facts = (row["alert"], _state(row)[0], row["entity"], row["measured"], row["allowed"])
            cells = [_markdown(str(fact or "")) for fact in facts] + [str(row["since"] or "")[:16]]
            lines.append(f"| {' | '.join(cells)} |")
        lines += ["", *(_orders_line(facts) for facts in health["orders"]), ""]
    log = f"`{file}`" if (file := log_file()) else NO_LOG
    lines += [f"First command: `python -m orchestration alerts`. Log: {log} on {_markdown(host)}."]
    return "\n".join(lines)


def _markdown(text: str) -> str:
    """Text from outside, none of it as markup or HTML."""
    return re.sub(r"([\\`*_{}\[\]()#+!|<>&~-])", r"\\\1", plain(text, 300))


def show_alerts(dbt: "Dbt", as_of: str, console: Console) -> bool:
    """Prints the open alerts and those resolved in the last day, and when they were last told; whether it is known that
    none is open."""
    rows, newest = dbt.query(_ALERTS, as_of), dbt.query(_EVALUATED, as_of)[0]
    is_known = newest["evaluated_at"] is not None and not newest["is_stale"]
    if not is_known:
        since = f"since {newest['evaluated_at']} UTC" if newest["evaluated_at"] else "yet"
        console.print(
            f"Nothing was evaluated {since}: what follows may be over, and what is new is not in it. "
            "First command: `python -m orchestration tick`, or see why the schedule does not run it."
        )
    if newest["last_as_of"] and is_known and newest["last_as_of"] < newest["evaluated_at"]:
        is_known = False
        console.print(
            f"The last tick evaluated {newest['last_as_of']} UTC (`--as-of`): what follows is as of then. "
            "First command: `python -m orchestration tick`."
        )
    if not rows:
        console.print("No alert is open, and none was in the last day.")
        return is_known
    table = Table(box=box.SIMPLE_HEAD, title="Alerts, UTC", title_justify="left")
    for column in ("alert", "state", "from", "to", "bad runs", "worst", "last told"):
        table.add_column(column, overflow="fold", no_wrap=column in ("alert", "state"))
    for row in rows:
        worst, *_ = json.loads(row["entities"] or "[]") or [{"entity": "", "measured": ""}]
        muted_by = f", muted by {worst.get('muted_by')}" if row["is_muted"] and not row["resolved_at"] else ""
        others = f" and {int(row['entity_count']) - 1} more" if int(row["entity_count"]) > 1 else ""
        # Good again, and not yet for as long as it takes.
        state = "recovering" if row["state"] == "firing" and row["is_good"] else row["state"]
        state = f"{state}, {row['severity']}"
        told = f"{str(row['told_at'])[5:16]} to {row['receivers']}" if row["told_at"] else "nobody"
        times = (str(row[name])[5:16] if row[name] else "" for name in ("opened_at", "resolved_at"))
        cells = (
            row["alert"],
            state,
            *times,
            str(row["bad_runs"]),
            f"{worst['entity']}: {worst['measured']}{others}{muted_by}",
            told,
        )
        table.add_row(*(Text(plain(str(cell), 160)) for cell in cells))
    console.print(table)
    return is_known and all(row["resolved_at"] for row in rows)
