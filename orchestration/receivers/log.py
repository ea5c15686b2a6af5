"""The log, where no other receiver is configured: what would have been sent."""

import logging
from collections.abc import Iterator

from orchestration.receivers import text
from orchestration.receivers.base import Answer, Notification
from orchestration.settings import Settings

logger = logging.getLogger(__name__)


def send(notifications: list[Notification], settings: Settings) -> Iterator[Answer]:
    """All at once."""
    message = text.as_text(notifications, settings)
    logger.warning("No receiver is configured (SLACK_WEBHOOK_URL, ...); this would have been sent:\n%s", message)
    yield from (Answer(notification, accepted=True) for notification in notifications)
