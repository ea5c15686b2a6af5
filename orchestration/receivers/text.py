"""What a notification says, in words: every receiver for people puts these together in its own way."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from humanize import precisedelta

from orchestration.outcomes import CURRENT_RUN
from orchestration.receivers.base import Notification
from orchestration.receivers.clean import plain
from orchestration.settings import Settings

_KINDS = {
    "firing": "firing",
    "escalated": "escalated",
    "widened": "widened",
    "repeated": "still firing",
    "resolved": "resolved",
}
_REPEAT = "(repeat: an earlier attempt may have arrived)"
_LONG_KINDS, _LONG, _SHORT = ("firing", "escalated"), 1500, 300


def worst_first(notifications: Iterable[Notification]) -> list[Notification]:
    """What is told last is what is left out first."""
    return sorted(
        notifications, key=lambda n: (n.kind == "resolved", n.severity != "error", n.kind == "repeated", n.alert)
    )


def title(notifications: list[Notification]) -> str:
    """The one alert and its state, or how many there are of each kind."""
    if len(notifications) == 1:
        return f"{plain(notifications[0].alert, 100)}: {state(notifications[0])}"
    counts = Counter(n.kind for n in notifications)
    return ", ".join(f"{counts[kind]} {name}" for kind, name in _KINDS.items() if counts[kind])


def state(n: Notification) -> str:
    """Where the episode is in its life."""
    if n.kind == "resolved":
        return f"resolved after {_lasted(n.opened_at, n.resolved_at or n.last_seen_at)}"
    if n.kind == "repeated":
        return f"still firing for {_lasted(n.opened_at, n.last_seen_at)}"
    return {"escalated": f"escalated to {n.severity}", "widened": "firing for more"}.get(n.kind, "FIRING")


def when(n: Notification) -> str:
    """How bad since when, or from when to when, and in how many runs."""
    times = f"since {_minute(n.opened_at)} UTC"
    if n.kind == "resolved" and n.resolved_at:
        end = _minute(n.resolved_at).removeprefix(str(n.opened_at)[:11])
        times = f"from {_minute(n.opened_at)} to {end} UTC"
    how = "" if n.kind == "escalated" else f"{n.severity} "
    return f"{how}{times}" + (f", bad in {n.bad_runs} runs" if n.bad_runs > 1 else "")


def facts(n: Notification, most: int = 5) -> list[str]:
    """The worst entities, measured against their limits; when it is over, only which they were."""
    if n.kind == "resolved":
        names = ", ".join(plain(str(e.get("entity")), 80) for e in n.entities[:most] if e.get("entity"))
        return [f"was: {names}{_more(n.entity_count - most)}"] if names else []
    entities = n.entities
    if n.kind == "widened":
        # What is new is the news.
        entities = sorted(entities, key=lambda entity: str(entity.get("since") or ""), reverse=True)
    told = [plain(_fact(entity, n)) for entity in entities[:most]]
    rest = n.entity_count - len(told)
    return [*told, f"and {rest} more"] if told and rest > 0 else told


def story(n: Notification) -> str:
    """The description, whose causes and first command are of use when it begins; nothing when it is over."""
    if n.kind == "resolved":
        return ""
    said = " ".join(n.description.split())
    return plain(said, _LONG) if n.kind in _LONG_KINDS else plain(said.partition(" Likely causes:")[0], _SHORT)


def notes(n: Notification) -> list[str]:
    return [_REPEAT] if n.may_have_arrived else []


def docs_page(n: Notification, settings: Settings) -> str | None:
    """The page of the model that was tested, or of the whole project."""
    docs = settings.streaming_ops_docs_url
    return f"{docs}#!/model/model.streaming_ops.{n.model}" if docs and n.model else str(docs) if docs else None


def environment(notifications: Iterable[Notification]) -> str:
    """Which environment they are from: production, or somebody's sandbox."""
    return ", ".join(dict.fromkeys(plain(n.origin, 200) for n in notifications))


def run_page() -> str | None:
    """The flow run that sends this, in Prefect's UI, if it is one and there is a UI."""
    return CURRENT_RUN.get().page


def as_text(notifications: list[Notification], settings: Settings, clean: Callable[[str], str] = str) -> str:
    """All of it for a terminal or a mail; `clean` goes over every text from outside."""
    lines = [f"environment: {clean(environment(notifications))}"]
    for n in worst_first(notifications):
        lines.append(clean(f"{title([n])} - {when(n)}"))
        lines += [f"  {clean(line)}" for line in (*notes(n), *facts(n), story(n)) if line]
        reads = {"runbook": n.runbook, "docs": docs_page(n, settings), "owner": n.owner}
        lines += [f"  {name}: {clean(plain(text))}" for name, text in reads.items() if text]
    return "\n".join([*lines, *([f"run: {page}"] if (page := run_page()) else [])])


def _fact(entity: dict[str, Any], n: Notification) -> str:
    """Whatever of it is known: a flow that failed has measured nothing. Most are as old as the episode."""
    since = _minute(entity.get("since") or n.opened_at)
    told = {
        "": entity.get("measured"),
        "expected ": entity.get("allowed"),
        "since ": f"{since} UTC" if since != _minute(n.opened_at) else None,
    }
    known = ", ".join(f"{name}{value}" for name, value in told.items() if value is not None)
    what = f"{entity.get('entity') or ''}: {known}".strip(": ")
    return f"{what} - {entity['detail']}".removeprefix(" - ") if entity.get("detail") else what


def _minute(time: Any) -> str:
    return str(time)[:16].replace("T", " ")


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def _lasted(start: str, end: str) -> str:
    begun, ended = (datetime.fromisoformat(time).replace(tzinfo=None) for time in (start, end))
    return precisedelta(ended - begun, minimum_unit="minutes", format="%d")
