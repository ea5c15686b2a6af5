"""What every receiver takes and gives, until when, and how a refusal differs from an answer that does not come."""

import hashlib
import logging
import re
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar, copy_context
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
from orchestration.origin import origin
from orchestration.receivers.clean import plain
from orchestration.settings import Settings

DEADLINE = 30.0  # seconds for all receivers together: everything else follows from it
_KEY = 255  # characters that PagerDuty takes
_REFERENCE = re.compile(r"[ -~]{1,300}")
_MOST_ENTITIES, _SHORT = 20, 8

# They log addresses, which may be secrets, at level INFO or below.
for _logger in ("httpx", "apprise", "urllib3"):
    logging.getLogger(_logger).setLevel(logging.WARNING)


@dataclass(frozen=True)
class Notification:
    """A message about one episode of an alert, or about a fault. Times are 'YYYY-MM-DD HH:MM:SS', UTC."""

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
    origin: str  # the environment: see orchestration/origin.py
    is_fault: bool = False  # of the monitor itself

    @property
    def dedup_key(self) -> str:
        """The name of the episode among those of all environments. A fault is one incident, whenever it is seen."""
        name = plain(self.alert, 200) + ("" if self.is_fault else f"/{self.opened_at}")
        where = plain(self.origin, _KEY)
        if len(key := f"streaming-ops/{where}/{name}") <= _KEY:
            return key
        return f"streaming-ops/{hashlib.sha256(self.origin.encode(errors='replace')).hexdigest()[:16]}/{name}"


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

    def __init__(
        self,
        problem: str,
        certain: bool = True,
        is_down: bool = False,
        is_about_message: bool = False,
        pause: float = 0,
    ) -> None:
        super().__init__(problem)
        self.certain = certain
        self.is_down = is_down  # it would take no other message either
        self.is_about_message = is_about_message  # it may take another one
        self.pause = pause  # seconds after which it wants to be asked again


@dataclass(frozen=True)
class Deadline:
    """When the receivers that are called at the same time have to be done, by time.monotonic()."""

    seconds: float
    end: float

    @property
    def answer_seconds(self) -> float:
        """How long one answer may take."""
        return self.seconds / 3

    @property
    def left(self) -> float:
        """Seconds in which another message can be sent: an answer to a later one would come too late."""
        return self.end - self.answer_seconds - time.monotonic()


_DEADLINE: ContextVar[Deadline] = ContextVar("deadline")


def deadline() -> Deadline:
    """The one of the call that this thread belongs to; a new one outside of any."""
    return _DEADLINE.get(None) or Deadline(DEADLINE, time.monotonic() + DEADLINE)


def within(seconds: float, *runs: Callable[[], None]) -> bool:
    """Does all of them at the same time, for so many seconds at the most, and returns whether all ended.

    A time-out applies to each piece of an answer: a receiver that sends a byte a second never meets it. A thread that
    is left behind ends with the process.
    """
    end = time.monotonic() + seconds
    token = _DEADLINE.set(Deadline(seconds, end))
    threads = [Thread(target=copy_context().run, args=(run,), daemon=True) for run in runs]
    _DEADLINE.reset(token)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, end - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


def each(batches: Iterable[list[Notification]], send: Callable[[list[Notification]], str | None]) -> Iterator[Answer]:
    """Sends one batch after the other; once the receiver is down or time is up, the rest is not tried.

    Otherwise each would wait as long as the first. `send` returns the reference, or raises Undelivered. If the receiver
    refuses a batch because of what is in it, each of its notifications is sent alone.
    """
    queue, until, why_not = deque(batches), deadline(), ""
    while queue:
        batch = queue.popleft()
        if not why_not and until.left <= 0:
            why_not = f"Not tried: the {until.seconds:g} s for all messages are nearly over. It is due again."
        problem, certain, reference = why_not, True, None
        if not problem:
            try:
                reference = send(batch)
            except Undelivered as error:
                if error.is_about_message and len(batch) > 1:
                    queue.extendleft([notification] for notification in reversed(batch))
                    continue
                problem, certain = str(error), error.certain
                why_not = f"Not tried, after: {problem}" if error.is_down else ""
            except Exception as error:
                problem, certain = surprise(error), False
        for notification in batch:
            known = reference if reference and _REFERENCE.fullmatch(reference) else notification.reference
            yield Answer(notification, not problem, known, problem or None, certain)


def surprise(error: Exception) -> str:
    """Where it happened, for an error of which nobody has checked that its text has no secret."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}; please report it."


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
        origin=origin(),
    )


test_notification.__test__ = False  # type: ignore[attr-defined]  # pytest's names are like this
