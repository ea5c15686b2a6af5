"""Any of Prefect's notification blocks, such as a mail by SendGrid: one plain text for all there is to tell."""

import re
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx

from orchestration.receivers import text
from orchestration.receivers.base import Answer, Notification, Undelivered, cleaned, each, given
from orchestration.receivers.clean import unsigned
from orchestration.settings import Settings


def send(notifications: list[Notification], settings: Settings) -> Iterator[Answer]:
    yield from each([notifications] if notifications else [], partial(_notify, settings))


def _notify(settings: Settings, notifications: list[Notification]) -> None:
    name = given(settings, "prefect_notification_block")
    # A second of imports, that only those with a block pay for.
    from prefect.blocks.core import Block

    try:
        block: Any = Block.load(name)
    except Exception as error:
        why = f"{type(error).__name__} {cleaned(str(error), settings)}"
        raise Undelivered(
            f"Prefect's block {name} cannot be loaded: {why}; `prefect block ls` shows which there are, "
            "PREFECT_NOTIFICATION_BLOCK is to name one, and PREFECT_API_URL the server that has it."
        ) from None
    try:
        with block.raise_on_failure():
            subject = unsigned(f"streaming-ops: {text.title(notifications)}")
            block.notify(text.as_text(notifications, settings, unsigned), subject)
    except Exception as error:
        # Blocks differ in where they keep secrets, and in whether they repeat them: no address is told.
        said = re.sub(r"\S*://\S*", "***", str(getattr(error, "log", error)))
        why = f"{type(error).__name__} {cleaned(said, settings, *_secrets(block))}"
        raise Undelivered(
            f"Prefect's block {name} did not deliver: {why}; correct the block in Prefect's UI.",
            # Apprise tells a status that it was refused with; where it tells none, nobody knows.
            certain=isinstance(error, httpx.HTTPStatusError | httpx.ConnectError) or "error=" in said,
        ) from None


def _secrets(value: Any) -> Iterator[str]:
    """Every secret value that the block has, however deep."""
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
        yield from [value] if isinstance(value, str) else _secrets(value)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from [inner] if isinstance(inner, str) else _secrets(inner)
    elif isinstance(value, sys.modules["prefect.blocks.core"].Block):
        for _, inner in value:
            yield from _secrets(inner)
