"""Delivery: what is due is decided in SQL; here it is sent, and what came of it is written down.

Before it is sent, so that what a killed process may have sent is known; and after, so that nothing is lost: what no
receiver has accepted is due again in the next run. Faults of the monitor itself: orchestration/faults.py.
"""

import json
import logging
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from orchestration.outcomes import DbtError
from orchestration.receivers import RECEIVERS, Notification, send
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
