"""What every receiver takes and gives, and how one that refuses is told from one that does not answer."""

import logging
import re
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from orchestration.collectors.base import redact, secrets_of
from orchestration.collectors.web import PASSING
from orchestration.receivers.clean import plain
from orchestration.settings import Settings

SECONDS = 10  # for an answer
PATIENCE = 30  # for a message with all its retries: none begins later
BUDGET = 60  # for a call: what is not sent by then is due again in the next tick
DEADLINE = 75  # for a call, whatever happens
_REFERENCE = re.compile(r"[ -~]{1,300}")
_MOST_ENTITIES, _SHORT = 20, 8

# They tell addresses, which may be secrets, at level INFO or below.
for _logger in ("httpx", "apprise", "urllib3"):
    logging.getLogger(_logger).setLevel(logging.WARNING)


@dataclass(frozen=True)
class Notification:
    """What is to be told of one episode of an alert, and to whom. Times are 'YYYY-MM-DD HH:MM:SS', UTC."""

    receiver: str  # a key of RECEIVERS
    channel: str | None  # for Slack, where it is not the webhook's own or SLACK_CHANNEL
    alert: str  # name of the dbt test, or of a flow that failed
    opened_at: str
    kind: str  # firing, escalated, widened, repeated, resolved
    severity: str  # warn, error
    last_seen_at: str
    resolved_at: str | None
    bad_runs: int
    entities: list[dict[str, Any]]  # worst first, some 20: entity, measured, allowed, since, detail, level
    entity_count: int  # of all
    description: str
    owner: str
    runbook: str | None
    model: str | None  # that the test is on: its page in the docs
    may_have_arrived: bool  # an earlier attempt ended without an answer
    reference: str | None  # what this receiver answered for the episode before

    @property
    def dedup_key(self) -> str:
        """The episode's name. PagerDuty takes 255 characters."""
        return f"streaming-ops/{plain(self.alert, 200)}/{self.opened_at}"


@dataclass(frozen=True)
class Answer:
    """What came of a notification. Where it is not `certain`, nobody knows whether it arrived."""

    notification: Notification
    accepted: bool
    reference: str | None = None
    problem: str | None = None  # says what to do, without a secret
    certain: bool = True


# Yields each answer as soon as it is known, and raises nothing for what the other side does.
Sender = Callable[[list[Notification], Settings], Iterator[Answer]]


class Undelivered(Exception):
    """The receiver did not take a message. The text says what to do, without a secret."""

    def __init__(self, problem: str, certain: bool = True, is_down: bool = False, pause: float = 0) -> None:
        super().__init__(problem)
        self.certain = certain
        self.is_down = is_down  # it would take no other message either
        self.pause = pause  # seconds after which it wants to be asked again


def within(seconds: float, run: Callable[[], None]) -> bool:
    """Runs it for so long at the most, and returns whether it ended.

    A time-out is for each piece of an answer, and who sends a byte a second never meets one. What is left behind ends
    with the process.
    """
    thread = Thread(target=copy_context().run, args=(run,), daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


def each(batches: Iterable[list[Notification]], send: Callable[[list[Notification]], str | None]) -> Iterator[Answer]:
    """Sends one batch after the other; once the receiver is down or time is up, the rest is not tried.

    Otherwise each would wait as long as the first. `send` returns the reference, or raises Undelivered.
    """
    end, left = time.monotonic() + BUDGET, ""
    for batch in batches:
        problem, certain, reference = left, True, None
        if not problem:
            try:
                reference = send(batch)
            except Undelivered as error:
                problem, certain = str(error), error.certain
                left = f"Not tried, after: {problem}" if error.is_down else ""
            except Exception as error:
                # Nobody has looked at what this one says.
                where = traceback.extract_tb(error.__traceback__)[-1]
                problem = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}; please report it."
                certain = False
            if not left and time.monotonic() > end:
                left = f"Not tried: those before it took {BUDGET} s. It is due again."
        for notification in batch:
            known = reference if reference and _REFERENCE.fullmatch(reference) else notification.reference
            yield Answer(notification, not problem, known, problem or None, certain)


def given(settings: Settings, name: str) -> str:
    """The setting's value. Raises Undelivered where there is none."""
    value = getattr(settings, name)
    if value is None:
        raise Undelivered(f"{name.upper()} is not set.", is_down=True)
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def cleaned(said: str, settings: Settings, *more: str) -> str:
    """What the other side said, short, in quotes, and without a secret or any longer part of a secret address."""
    secrets = secrets_of(settings) | set(more)
    parts = set(secrets)
    for address in secrets:
        if "://" not in address:
            continue
        where = urlsplit(address)
        parts |= {where.path, where.query, where.password or ""}
        parts |= {part for part in where.path.split("/") if len(part) > _SHORT}
        parts |= {part.rpartition("=")[2] for part in where.query.split("&")}
    return repr(plain(redact(said[:2000], parts - {"", "/"}), 120))


def refusal(who: str, settings: Settings, status: int, said: str, advice: str) -> Undelivered:
    """For an answer that is a refusal, with `advice` for one that is not passing."""
    is_down = status in PASSING
    return Undelivered(
        f"{who}: HTTP {status} {cleaned(said, settings)}; "
        f"{'it is overloaded or down: it is tried again' if is_down else advice}.",
        # A gateway that gave up waiting does not know either.
        certain=status != HTTPStatus.GATEWAY_TIMEOUT,
        is_down=is_down,
    )


def fields(notification: Notification, most: int, entities: int = _MOST_ENTITIES) -> dict[str, Any]:
    """The notification for JSON, of bounded size: at most so many entities, and characters in a text."""

    def clipped(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(name): clipped(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [clipped(inner) for inner in value[:entities]]
        if value is None or isinstance(value, bool | int | float):
            return value
        # Half of a surrogate pair is a text that nothing takes.
        return str(value)[:most].encode("utf-8", "replace").decode()

    return {"dedup_key": notification.dedup_key} | clipped(asdict(notification))


def test_notification(receiver: str) -> Notification:
    """A message that anybody sees to be a test."""
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    return Notification(
        receiver=receiver,
        channel=None,
        alert="test_message",
        opened_at=now,
        kind="firing",
        severity="warn",
        last_seen_at=now,
        resolved_at=None,
        bad_runs=1,
        entities=[],
        entity_count=0,
        description="A test of delivery: nothing is wrong, and nothing is to be done.",
        owner="whoever sent it",
        runbook=None,
        model=None,
        may_have_arrived=False,
        reference=None,
    )


test_notification.__test__ = False  # type: ignore[attr-defined]  # pytest's names are like this
