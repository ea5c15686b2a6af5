"""Receivers tell people of alerts. What is due, and to whom, is SQL; here it is put into words and sent.

A receiver that does not take a notification says why in its answer, and raises nothing: the others are still told.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from orchestration.receivers import base, log, pagerduty, prefect_block, slack, webhook
from orchestration.receivers.base import Answer, Notification, Sender, test_notification
from orchestration.receivers.webhook import ping
from orchestration.settings import Settings

__all__ = ["RECEIVERS", "Answer", "Notification", "Receiver", "Sender", "ping", "send", "send_test"]


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
    # A name of its own: what is only in a log must not count as told to anybody else.
    "log": Receiver(log.send, lambda settings: False),
}


def send(notifications: list[Notification], settings: Settings) -> list[Answer]:
    """Sends to one receiver, and waits for `base.DEADLINE` at the most."""
    receiver = notifications[0].receiver
    answers: list[Answer] = []
    base.within(base.DEADLINE, lambda: answers.extend(RECEIVERS[receiver].send(notifications, settings)))
    known = list(answers)
    problem = f"{receiver} took more than {base.DEADLINE} s: the message may have arrived. Look at the network."
    told = {id(answer.notification) for answer in known}
    return known + [Answer(n, False, problem=problem, certain=False) for n in notifications if id(n) not in told]


def send_test(receiver: str, settings: Settings) -> Iterator[Answer]:
    """Sends a test message; where that opens something, also that it is over."""
    test = test_notification(receiver)
    yield from (answers := send([test], settings))
    if receiver in ("pagerduty", "webhook") and answers[0].accepted:
        yield from send([replace(test, kind="resolved", resolved_at=test.last_seen_at)], settings)
