"""One Slack message per run: what failed, measured against its limit, since when, and where to read on."""

import logging
from collections import Counter
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from slack_sdk.http_retry.builtin_handlers import (
    ConnectionErrorRetryHandler,
    RateLimitErrorRetryHandler,
    ServerErrorRetryHandler,
)
from slack_sdk.models.blocks import ContextBlock, HeaderBlock, MarkdownTextObject, SectionBlock
from slack_sdk.webhook import WebhookClient

from orchestration.receivers.clean import escape, plain
from orchestration.runner import Outcome
from orchestration.settings import Settings

logger = logging.getLogger(__name__)
# Whatever it retries the SDK logs with the webhook's address, which is a secret.
logging.getLogger("slack_sdk").setLevel(logging.CRITICAL)

# Slack takes 50 blocks of 3,000 characters, but has refused whole messages of 13,000.
_MOST_PROBLEMS, _MOST_ROWS, _MOST_CHARACTERS = 20, 5, 9000
_MARK = {"warn": ":warning:", "fail": ":rotating_light:", "error": ":x:", "skipped": ":fast_forward:"}


class DeliveryError(RuntimeError):
    """Slack did not accept the message. The text says what to do, and never has the address."""


@dataclass(frozen=True)
class Message:
    """What to send: `text` for notifications and terminals, `blocks` for Slack's Block Kit."""

    text: str
    blocks: list[dict[str, Any]]


def message(run: str, as_of: str, outcomes: list[Outcome], rows: list[dict[str, Any]]) -> Message | None:
    """The message for a run's outcomes, None if all is well; `rows` are the alerts' stored rows (see alert_status)."""
    order = ["error", "fail", "warn", "skipped"]
    problems = [outcome for outcome in outcomes if outcome.is_problem]
    # By name too: dbt's threads end in any order.
    problems.sort(key=lambda o: ([*order, o.status].index(o.status), o.name))
    if not problems:
        return None
    counts = Counter(o.status for o in problems)
    title = f"{run}: " + ", ".join(f"{counts[status]} {status}" for status in order if counts[status])
    blocks: list[Any] = [HeaderBlock(text=title[:150])]
    lines = [f"{title} (as of {as_of})"]
    told = room = 0
    for problem in problems[:_MOST_PROBLEMS]:
        body, plain = _describe(problem, [r for r in rows if r["alert"] == problem.name and int(r["level"]) > 0])
        room += len(body)
        if room > _MOST_CHARACTERS:
            break
        blocks.append(SectionBlock(text=MarkdownTextObject(text=body, verbatim=True)))
        lines += plain
        told += 1
    more = f" · and {len(problems) - told} more" if len(problems) > told else ""
    blocks.append(ContextBlock(elements=[MarkdownTextObject(text=f"as of {as_of}{more}")]))
    return Message("\n".join(lines), [block.to_dict() for block in blocks])


def _describe(problem: Outcome, rows: list[dict[str, Any]]) -> tuple[str, list[str]]:
    """One problem as Slack text and as lines for a terminal."""
    # An alert that was not evaluated has rows of an earlier tick: they say nothing of now.
    evaluated = problem.status in ("fail", "warn")
    rows = sorted(rows if evaluated else [], key=lambda row: (-int(row["level"]), row["entity"] or ""))
    facts = [
        f"{row['entity']}: {row['measured']}, allowed {row['allowed']}, "
        f"since {str(row['since'])[:16]} UTC - {row['detail']}"
        for row in rows[:_MOST_ROWS]
    ] or [problem.message or "not evaluated"]
    facts = [plain(fact) for fact in facts]
    if len(rows) > _MOST_ROWS:
        facts.append(f"and {len(rows) - _MOST_ROWS} more")
    what = " ".join(problem.description.split())
    mark = _MARK.get(problem.status, ":grey_question:")
    text = [f"{mark} *{escape(problem.name)}* ({problem.status})", *(f"• {escape(fact)}" for fact in facts)]
    text += [f"_{escape(what)[:1500]}_"] if what else []
    if problem.is_alert:
        text.append(f"Runbook: {_runbook(problem)} · owner {escape(str(problem.meta.get('owner', '-')))}")
    return "\n".join(text)[:2900], [f"  {problem.status.upper():7} {problem.name}", *(f"          {f}" for f in facts)]


def _runbook(problem: Outcome) -> str:
    runbook = escape(str(problem.meta.get("runbook", "-")))
    docs = Settings().streaming_ops_docs_url
    return f"{runbook} · <{docs}|docs>" if docs else runbook


def deliver(content: Message, settings: Settings) -> None:
    """Posts to the webhook; without one, prints. Raises DeliveryError unless Slack says that it has the message."""
    if settings.slack_webhook_url is None:
        logger.warning("SLACK_WEBHOOK_URL is not set; this would have been posted:\n%s", content.text)
        return
    client = WebhookClient(
        settings.slack_webhook_url.get_secret_value(),
        timeout=10,
        retry_handlers=[
            ConnectionErrorRetryHandler(max_retry_count=3),
            RateLimitErrorRetryHandler(max_retry_count=3),
            ServerErrorRetryHandler(max_retry_count=3),
        ],
    )
    try:
        response = client.send(text=escape(content.text)[:3000], blocks=content.blocks)
    except Exception as error:
        raise DeliveryError(
            f"Slack could not be reached ({type(error).__name__}); check SLACK_WEBHOOK_URL and the network."
        ) from None
    if response.status_code != HTTPStatus.OK or response.body != "ok":
        path = urlsplit(settings.slack_webhook_url.get_secret_value()).path
        body = response.body.replace(path, "***").replace(path.rpartition("/")[2], "***")
        raise DeliveryError(
            f"Slack refused the message: HTTP {response.status_code} {body[:100]!r}. "
            "A 4xx means that SLACK_WEBHOOK_URL is revoked or mistyped; make a new one in the Slack app's settings."
        )
    logger.info("posted to Slack")
