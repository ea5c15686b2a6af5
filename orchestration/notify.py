"""Delivery: what is due is decided in SQL; here it is sent, and what came of it is written down.

Before it is sent, so that what a killed process may have sent is known; and after, so that nothing is lost: what no
receiver has accepted is due again in the next run. What could not be computed is told without the warehouse.
"""

import json
import logging
import os
import socket
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from orchestration.outcomes import DbtError, Outcome
from orchestration.receivers import RECEIVERS, Notification, send
from orchestration.settings import PROJECT_DIR, Settings, log_file

if TYPE_CHECKING:
    from orchestration.runner import Dbt

logger = logging.getLogger(__name__)
_FAULT_REPEATED = timedelta(hours=4)
_DUE = """
select * from {{ ref('pending_notifications') }}
where receiver in ('{{ var("receivers") | join("', '") }}')
order by receiver, severity, alert, opened_at
"""


def configured(settings: Settings) -> list[str]:
    """Names of the receivers that can be sent to; the log, where there is none."""
    return [name for name, receiver in RECEIVERS.items() if receiver.is_configured(settings)] or ["log"]


def deliver(dbt: "Dbt", as_of: str) -> list[str]:
    """Sends what is due of the alerts; returns what went wrong. Raises DbtError if the warehouse does not say."""
    settings = Settings()
    rows = dbt.query(_DUE, as_of, receivers=configured(settings))
    if not rows:
        return []
    meanings = dbt.alerts()
    due = [_notification(row | {"description": meanings.get(row["alert"], "")}, settings) for row in rows]
    _record(dbt, as_of, ((notification, "attempted", None, None) for notification in due))
    problems = []
    for _, notifications in groupby(due, key=lambda notification: notification.receiver):
        answers = send(list(notifications), settings)
        problems += [answer.problem for answer in answers if answer.problem]
        known = [answer for answer in answers if answer.accepted or answer.certain]
        ended = [(a.notification, "accepted" if a.accepted else "refused", a.reference, a.problem) for a in known]
        try:
            _record(dbt, as_of, ended)
        except DbtError as error:
            # The others are told all the same.
            problems.append(str(error))
    return list(dict.fromkeys(problems))


def _runbook(page: str | None, settings: Settings) -> str | None:
    """Its address, where the settings say whereabouts it is."""
    base = settings.streaming_ops_runbook_url
    return urljoin(f"{str(base).rstrip('/')}/", page) if base and page else page


def _notification(row: dict[str, Any], settings: Settings) -> Notification:
    entities = json.loads(row["entities"] or "[]")
    unmuted = [entity for entity in entities if not entity.get("muted_by")]
    as_they_are = ("receiver", "channel", "alert", "kind", "severity", "description", "owner", "model", "reference")
    return Notification(
        **{name: row[name] for name in as_they_are},
        opened_at=str(row["opened_at"]),
        last_seen_at=str(row["last_seen_at"]),
        resolved_at=str(row["resolved_at"]) if row["resolved_at"] else None,
        runbook=_runbook(row["runbook"], settings),
        bad_runs=int(row["bad_runs"]),
        # Whatever is over was told while nothing muted it.
        entities=entities if row["kind"] == "resolved" else unmuted,
        entity_count=int(row["entity_count"]),
        may_have_arrived=bool(row["may_have_arrived"]),
    )


def _record(dbt: "Dbt", as_of: str, attempts: Iterable[tuple[Notification, str, str | None, str | None]]) -> None:
    rows = [
        {
            "receiver": notification.receiver,
            "channel": notification.channel,
            "alert": notification.alert,
            "opened_at": notification.opened_at,
            "last_seen_at": notification.last_seen_at,
            "kind": notification.kind,
            "level": 2 if notification.severity == "error" else 1,
            "outcome": outcome,
            "reference": reference,
            "problem": problem,
        }
        for notification, outcome, reference, problem in attempts
    ]
    if rows:
        dbt.run_operation("record_notifications", as_of, rows=rows)


def report_faults(run: str, as_of: str, outcomes: list[Outcome]) -> list[str]:
    """Reports a run that could not do its work, without the warehouse: once, every four hours, and when it is over.

    Returns what went wrong. What was sent is in a file beside the parsed project, for the next run is another process.
    """
    file = PROJECT_DIR / os.environ.get("DBT_TARGET_PATH", "target") / "faults.json"
    faults, settings, problems = _read(file), Settings(), []
    # One cause breaks several steps.
    broken = list({outcome.message: outcome for outcome in outcomes if outcome.is_broken}.values())
    blind = sorted(o.name for o in outcomes if o.is_alert and o.status not in ("pass", "warn", "fail"))
    fault = faults.setdefault(run, {"opened_at": as_of, "runs": 0, "told": {}})
    fault["runs"] += bool(broken)
    told = fault["told"]
    # Whoever is not configured any more cannot be told that it is over.
    for receiver in told.keys() - set(configured(settings)):
        del told[receiver]
    for receiver in configured(settings) if broken else list(told):
        kind = _kind(told.get(receiver), as_of) if broken else "resolved"
        if kind is None:
            continue
        for answer in send([_fault(receiver, run, as_of, kind, fault, broken, blind)], settings):
            problems += [answer.problem] if answer.problem else []
            if answer.accepted and broken:
                told[receiver] = {"at": as_of, "reference": answer.reference}
            elif answer.accepted:
                del told[receiver]
    if not (broken or told):
        del faults[run]
    if faults or file.exists():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            new = file.with_suffix(f".{os.getpid()}")
            new.write_text(json.dumps(faults))
            new.replace(file)
        except OSError as error:
            logger.warning("What was sent is not remembered, and may be sent again: %s", error)
    return problems


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return {}


def _kind(told: dict[str, Any] | None, as_of: str) -> str | None:
    if told is None:
        return "firing"
    since = datetime.fromisoformat(as_of) - datetime.fromisoformat(told["at"])
    return "repeated" if since >= _FAULT_REPEATED else None


def _fault(
    receiver: str, run: str, as_of: str, kind: str, fault: dict[str, Any], broken: list[Outcome], blind: list[str]
) -> Notification:
    not_evaluated = f"Not evaluated: {', '.join(blind)}. " if blind else ""
    entities = [
        {
            "entity": f"{o.resource_type} {o.name}",
            "measured": o.status,
            "allowed": "success",
            "detail": o.message,
            "level": 2,
        }
        for o in broken
    ]
    return Notification(
        receiver=receiver,
        channel=None,
        alert=f"{run} failed",
        opened_at=fault["opened_at"],
        kind=kind,
        severity="error",
        last_seen_at=as_of,
        resolved_at=None if broken else as_of,
        bad_runs=fault["runs"],
        entities=entities[:20],
        entity_count=len(entities),
        description="A run could not do its work. What it did not evaluate stays as it was, and is not told. "
        f"{not_evaluated}First command: `python -m orchestration check`; then the log with statements and errors, "
        f"{log_file()} on {socket.gethostname()}.",
        owner="",
        runbook=_runbook("README.md#when-a-run-fails", Settings()),
        model=None,
        may_have_arrived=False,
        reference=(fault["told"].get(receiver) or {}).get("reference"),
    )
