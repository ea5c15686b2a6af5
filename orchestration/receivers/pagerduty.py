"""PagerDuty's Events API v2, by its own client: an episode is an alert there, which further messages update."""

from collections.abc import Iterator
from functools import partial

import pagerduty

from orchestration.receivers import text
from orchestration.receivers.base import Answer, Notification, Undelivered, deadline, each, fields, given, refusal
from orchestration.receivers.clean import plain
from orchestration.settings import Settings

_SEVERITY = {"warn": "warning", "error": "critical"}
_SUMMARY = 1024
_PASSING = (429, 500, 502, 503, 504)


def send(notifications: list[Notification], settings: Settings) -> Iterator[Answer]:
    """Each by its own: what arrives twice is one alert there, by its key."""
    yield from each(([n] for n in notifications), partial(_enqueue, settings))


def _enqueue(settings: Settings, notifications: list[Notification]) -> str:
    (n,) = notifications
    key = given(settings, "pagerduty_routing_key")
    # Of characters that take four bytes it is 80 kB.
    details = fields(n, most=300, entities=10) | {"description": text.story(n)}
    try:
        with pagerduty.EventsApiV2Client(key, base_url=str(settings.pagerduty_url).rstrip("/")) as client:
            # By itself it waits a minute for an answer, and asks without end while the rate limit is reached.
            client.timeout, client.max_network_attempts = deadline().answer_seconds, 1
            client.retry = dict.fromkeys(_PASSING, 2)
            if n.kind == "resolved":
                return client.resolve(n.dedup_key)
            return client.trigger(
                summary=plain(" - ".join([text.title([n]), *text.facts(n, 1), text.environment([n])]), _SUMMARY),
                source=f"streaming-ops {text.environment([n])}",
                severity=_SEVERITY.get(n.severity, "error"),
                dedup_key=n.dedup_key,
                payload={"component": details["model"], "group": details["owner"], "class": details["alert"]},
                custom_details=details,
                links=_links(n, settings),
            )
    except pagerduty.Error as error:
        raise _problem(error, settings) from None


def _links(n: Notification, settings: Settings) -> list[dict[str, str]]:
    pages = {"Runbook": n.runbook, "Docs": text.docs_page(n, settings), "Prefect run": text.run_page()}
    return [{"href": page, "text": name} for name, page in pages.items() if page and page.startswith("http")]


def _problem(error: pagerduty.Error, settings: Settings) -> Undelivered:
    if error.response is None:
        lost = type(error.__cause__).__name__
        unsent = lost in ("ConnectError", "ConnectTimeout")
        said = "could not be reached" if unsent else "did not answer"
        return Undelivered(
            f"PagerDuty {said} ({lost}); check PAGERDUTY_URL and the network.", certain=unsent, is_down=True
        )
    return refusal(
        "PagerDuty refused the event",
        settings,
        error.response.status_code,
        error.response.text,
        "PAGERDUTY_ROUTING_KEY is no key of an Events API v2 integration, or of another region than PAGERDUTY_URL",
    )
