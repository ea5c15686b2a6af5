"""Any other system: the notification as JSON, posted to an address; and the heartbeat, which asks for one."""

import json
import logging
from collections.abc import Iterator
from functools import partial

import httpx
from pydantic import SecretStr
from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_before_delay

from orchestration.collectors.web import retry_after
from orchestration.receivers import base
from orchestration.receivers.base import Answer, Notification, Undelivered, deadline, each, fields, given, refusal
from orchestration.settings import Settings

logger = logging.getLogger(__name__)
_VERSION = 1  # a field may be added to it; one that goes, or changes its meaning, needs the next
_TRIES, _LONGEST = 4, 4000
_MOST_BYTES = 65_536  # of an answer
_PATIENCE = 10  # seconds for the heartbeat


def send(notifications: list[Notification], settings: Settings) -> Iterator[Answer]:
    """One request each. A repeat has the same `dedup_key`, `kind` and `last_seen_at`."""
    yield from each(([n] for n in notifications), partial(_persist, settings))


def _persist(settings: Settings, notifications: list[Notification]) -> None:
    """Asks again where that can help, and nothing can have arrived."""
    retrying = Retrying(
        retry=retry_if_exception(lambda e: isinstance(e, Undelivered) and e.is_down and e.certain),
        stop=stop_after_attempt(_TRIES) | stop_before_delay(deadline().left),
        wait=lambda state: max(2 ** (state.attempt_number - 1), state.outcome.exception().pause),
        reraise=True,
    )
    retrying(_post, settings, given(settings, "alert_webhook_url"), notifications[0])


def _post(settings: Settings, url: str, notification: Notification) -> None:
    token = given(settings, "alert_webhook_token") if settings.alert_webhook_token else ""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    content = json.dumps({"version": _VERSION} | fields(notification, _LONGEST))
    try:
        with httpx.stream("POST", url, content=content, headers=headers, timeout=deadline().answer_seconds) as answer:
            # As it comes: unpacked, a small answer may be large.
            said = next(answer.iter_raw(_MOST_BYTES), b"").decode(errors="replace") if answer.is_error else ""
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise Undelivered(
            f"The webhook could not be reached ({type(error).__name__}); check ALERT_WEBHOOK_URL and the network.",
            is_down=True,
        ) from None
    except httpx.HTTPError as error:
        raise Undelivered(
            f"The webhook did not answer ({type(error).__name__}): the message may have arrived. Look at its log.",
            certain=False,
            is_down=True,
        ) from None
    if answer.is_success:
        return
    advice = "check ALERT_WEBHOOK_URL and ALERT_WEBHOOK_TOKEN"
    if answer.is_redirect:
        advice = "it leads elsewhere, where nothing is sent: set ALERT_WEBHOOK_URL to the address that answers"
    refused = refusal("The webhook refused the message", settings, answer.status_code, said, advice)
    refused.pause = retry_after(answer)
    raise refused


def ping(url: SecretStr | None) -> None:
    """Tells the dead man's switch that a tick ended. That it cannot be told is logged: it will notice by itself."""
    if url is None:
        return
    if not base.within(_PATIENCE, partial(_ask, url.get_secret_value())):
        logger.warning("The heartbeat took more than %d s; check HEARTBEAT_URL.", _PATIENCE)


def _ask(url: str) -> None:
    try:
        with httpx.stream("GET", url, timeout=5) as answer:
            answer.raise_for_status()
    except httpx.HTTPStatusError as error:
        logger.warning("The heartbeat was refused: HTTP %d; check HEARTBEAT_URL.", error.response.status_code)
    except Exception as error:
        logger.warning("The heartbeat did not arrive (%s); check HEARTBEAT_URL.", type(error).__name__)
