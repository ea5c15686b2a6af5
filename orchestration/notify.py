"""Delivery: SQL decides which notifications are due; here they are sent, and their outcomes are recorded.

An attempt is recorded before it is sent, so that what a killed process may have sent is known; and its outcome after,
so that nothing is lost: a notification that its receiver has not accepted is due again in the next run. Faults of the
monitor itself: orchestration/faults.py.
"""

import json
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from orchestration.origin import origin
from orchestration.outcomes import DbtError, Outcome
from orchestration.receivers import DEADLINE, RECEIVERS, Answer, Notification, send_all
from orchestration.settings import Settings

if TYPE_CHECKING:
    from orchestration.runner import Dbt

logger = logging.getLogger(__name__)
_DUE = """
select * from {{ ref('pending_notifications') }}
where receiver in ('{{ var("receivers") | join("', '") }}')
order by receiver, severity, alert, opened_at
"""


def configured(settings: Settings) -> list[str]:
    """Names of the receivers that can be sent to; the log, where there is none."""
    return [name for name, receiver in RECEIVERS.items() if receiver.is_configured(settings)] or ["log"]


def deliver(
    dbt: "Dbt", as_of: str, seconds: float = DEADLINE, are_routes_wrong: Callable[[], bool] = lambda: False
) -> list[Outcome]:
    """Sends what is due of the alerts, for so many seconds at the most; returns an outcome for each receiver.

    Raises DbtError if the warehouse cannot say what is due.
    """
    settings = Settings()
    rows = dbt.query(_DUE, as_of, receivers=configured(settings))
    # An alert whose test or route is gone is over; but a typing error in the routes must not end one that fires.
    if any(map(_is_orphan, rows)) and are_routes_wrong():
        rows = [row for row in rows if not _is_orphan(row)]
    if not rows:
        return []
    meanings = dbt.alerts()
    due = [_notification(row | {"description": meanings.get(row["alert"], "")}, settings) for row in rows]
    _record(dbt, as_of, ((notification, "attempted", None, None) for notification in due))
    answers = send_all(due, settings, seconds)
    outcomes = by_receiver(answers)
    known = [answer for answer in answers if answer.accepted or answer.certain]
    ended = [(a.notification, "accepted" if a.accepted else "refused", a.reference, a.problem) for a in known]
    try:
        _record(dbt, as_of, ended)
    except DbtError as error:
        outcomes.append(Outcome("record notifications", "run", "error", str(error)))
    return outcomes


def _is_orphan(row: dict[str, Any]) -> bool:
    return row["kind"] == "resolved" and row["model"] is None


def by_receiver(answers: list[Answer]) -> list[Outcome]:
    """One outcome for each receiver: refused, with the problems, if it did not accept all that it was sent."""
    problems: dict[str, dict[str, None]] = {}
    for answer in answers:
        mine = problems.setdefault(answer.notification.receiver, {})
        mine |= {answer.problem: None} if answer.problem else {}
    return [
        Outcome(receiver, "receiver", "refused" if said else "success", "\n".join(said) or "accepted")
        for receiver, said in problems.items()
    ]


def runbook_url(page: str | None, settings: Settings) -> str | None:
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
        runbook=runbook_url(row["runbook"], settings),
        bad_runs=int(row["bad_runs"]),
        # What is over was sent while nothing muted it.
        entities=entities if row["kind"] == "resolved" else unmuted,
        entity_count=int(row["entity_count"]),
        may_have_arrived=bool(row["may_have_arrived"]),
        origin=origin(),
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
