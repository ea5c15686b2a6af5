"""Receivers notify people. SQL decides what is due, and to whom; here it is put into words and sent.

A receiver that does not take a notification says why in its answer, and raises nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from orchestration.receivers import base, log, pagerduty, prefect_block, slack, webhook
from orchestration.receivers.base import DEADLINE, Answer, Notification, Sender, surprise, test_notification
from orchestration.receivers.webhook import ping
from orchestration.settings import Settings

__all__ = ["DEADLINE", "RECEIVERS", "Answer", "Notification", "Receiver", "Sender", "ping", "send_all", "send_test"]


@dataclass(frozen=True)
class Receiver:
    """How to send, and whether the settings say where to."""

    send: Sender
    is_configured: Callable[[Settings], bool]


RECEIVERS: dict[str, Receiver] = {
    "slack": Receiver(slack.send, lambda settings: bool(settings.slack_bot_token or settings.slack_webhook_url)),
    "pagerduty": Receiver(pagerduty.send, lambda settings: settings.pagerduty_routing_key is not None),
    "webhook": Receiver(webhook.send, lambda settings: settings.alert_webhook_url is not None),
    "prefect": Receiver(prefect_block.send, lambda settings: settings.prefect_notification_block is not None),
    # A name of its own: a message in a log is no notification of another receiver.
    "log": Receiver(log.send, lambda settings: False),
}


def send_all(notifications: list[Notification], settings: Settings, seconds: float = DEADLINE) -> list[Answer]:
    """Calls the receivers at the same time, and waits for so many seconds at the most: one answer a notification.

    What no answer is known of by then may have arrived.
    """
    answers: dict[int, Answer] = {}
    broken: dict[str, str] = {}

    def call(receiver: str, batch: list[Notification]) -> None:
        try:
            for answer in RECEIVERS[receiver].send(batch, settings):
                answers[id(answer.notification)] = answer
        except Exception as error:
            broken[receiver] = surprise(error)

    batches: dict[str, list[Notification]] = {}
    for notification in notifications:
        batches.setdefault(notification.receiver, []).append(notification)
    base.within(seconds, *(partial(call, receiver, batch) for receiver, batch in batches.items()))
    # What comes later does not count: the thread of a slow receiver goes on.
    known = dict(answers)
    late = f"did not finish answering within {seconds:g} s: the message may have arrived. Look at the network."
    return [
        known.get(id(n)) or Answer(n, False, problem=f"{n.receiver}: {broken.get(n.receiver, late)}", certain=False)
        for n in notifications
    ]


def send_test(receiver: str, settings: Settings) -> Iterator[Answer]:
    """Sends a test message; if that opens an incident, also its end."""
    test = test_notification(receiver)
    yield from (answers := send_all([test], settings))
    if receiver in ("pagerduty", "webhook") and answers[0].accepted:
        yield from send_all([replace(test, kind="resolved", resolved_at=test.last_seen_at)], settings)
