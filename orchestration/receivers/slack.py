"""Slack: one message for a channel by an incoming webhook, or with a bot's token a thread for each episode."""

import logging
import re
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.error import URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry import RetryHandler
from slack_sdk.http_retry.builtin_handlers import (
    ConnectionErrorRetryHandler,
    RateLimitErrorRetryHandler,
    ServerErrorRetryHandler,
)
from slack_sdk.models.blocks import ContextBlock, HeaderBlock, MarkdownTextObject, SectionBlock
from slack_sdk.webhook import WebhookClient, WebhookResponse

from orchestration.receivers import text
from orchestration.receivers.base import Answer, Notification, Undelivered, deadline, each, given, refusal
from orchestration.receivers.clean import escape, literal, plain, unsigned
from orchestration.settings import Settings

T = TypeVar("T")
_MOST_BYTES = 65_536  # of an answer
_DIGITS = 6  # of seconds to wait
logger = logging.getLogger(__name__)
# Whatever it retries the SDK logs with the webhook's address, which is a secret.
logging.getLogger("slack_sdk").setLevel(logging.CRITICAL)

# Slack takes 50 blocks of 3,000 characters, but has refused whole messages of 13,000.
_MOST_ALERTS, _MOST_CHARACTERS, _SECTION, _HEADER, _PLAIN = 20, 9000, 2900, 150, 1500
_WITHOUT_PREVIEWS = {"unfurl_links": False, "unfurl_media": False}
_MARK = {"warn": ":warning:", "error": ":rotating_light:"}
_LABELS = re.compile(r" (Likely causes:|First command:)")
# A thread can be deleted, or its channel archived: then the message begins a new one.
_GONE = {"thread_not_found", "message_not_found", "cannot_reply_to_message", "is_archived", "channel_not_found"}
_UNSURE = {"fatal_error", "internal_error"}  # Slack's own words: some of it may have been done
# Slack refuses this message, and may take another one.
_ABOUT_MESSAGE = {
    *("invalid_blocks", "invalid_blocks_format", "invalid_payload", "invalid_attachments", "too_many_attachments"),
    *("msg_too_long", "msg_blocks_too_long", "attachment_payload_limit_exceeded", "no_text", "invalid_json"),
    *("missing_text_or_fallback_or_attachments", "json_not_object", "invalid_arguments", "invalid_form_data"),
}
_BAD_MESSAGE = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)  # by a word that is in no table here
_WORD = re.compile(r"(?<![a-z_])(?:[a-z]+(?:_[a-z]+)+|ratelimited)(?![a-z_])")
_NEW_WEBHOOK = "SLACK_WEBHOOK_URL is revoked or mistyped; make a new one in the Slack app's settings"
_REPLACE_BOT = "SLACK_BOT_TOKEN (xoxb-...) is revoked, expired or mistyped; replace it by the one of the Slack app"
_CHANNEL = "set SLACK_CHANNEL, the alert's meta.channel or the channel of its route to one that the app can see"
_ADMIN = "ask an administrator of the workspace to allow the app to post there, or choose another channel"
_LATER = "Slack limits how much is posted: it is due again"
# Slack's word for why it refused, by webhook or Web API -> what to do.
_REMEDIES = {
    **dict.fromkeys(("no_service", "no_service_id", "no_active_hooks", "invalid_token"), _NEW_WEBHOOK),
    **dict.fromkeys(("no_team", "team_disabled"), f"the workspace is gone or disabled, or {_NEW_WEBHOOK}"),
    **dict.fromkeys(("invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"), _REPLACE_BOT),
    **dict.fromkeys(("channel_not_found", "user_not_found"), _CHANNEL),
    **dict.fromkeys(("channel_is_archived", "is_archived"), "the channel is archived; choose another channel"),
    **dict.fromkeys(("action_prohibited", "restricted_action", "posting_to_general_channel_denied"), _ADMIN),
    **dict.fromkeys(("ratelimited", "rate_limited", "message_limit_exceeded"), _LATER),
    **dict.fromkeys(_ABOUT_MESSAGE, "please report it"),
    **dict.fromkeys(_UNSURE, "a fault of Slack's, see status.slack.com; it is tried again"),
    "not_in_channel": "invite the app to the channel: /invite @<name of the app>",
    "missing_scope": "give the Slack app the scope chat:write, install it again, and set SLACK_BOT_TOKEN",
}


def send(notifications: list[Notification], settings: Settings) -> Iterator[Answer]:
    """By the bot's token, if there is one, else by the webhook."""
    if settings.slack_bot_token:
        yield from each(([n] for n in notifications), partial(_reply, settings))
        return
    channels: dict[str | None, list[Notification]] = {}
    for notification in notifications:
        channels.setdefault(notification.channel, []).append(notification)
    yield from each(channels.values(), partial(_post, settings))


def blocks(notifications: list[Notification], settings: Settings) -> list[dict[str, Any]]:
    """Slack's Block Kit for them: in full where there is room for that, else each in brief, else by name only."""
    worst = text.worst_first(notifications)
    for brief in (False, True):
        sections = [_section(n, settings, brief, len(worst) == 1) for n in worst[:_MOST_ALERTS]]
        if sum(map(len, sections)) <= _MOST_CHARACTERS:
            break
    while sum(map(len, sections)) > _MOST_CHARACTERS:
        sections.pop()
    foot = ["streaming-ops", literal(text.environment(notifications))]
    foot += [f"<{page}|this run in Prefect>"] if (page := text.run_page()) else []
    if left := worst[len(sections) :]:
        names = plain(", ".join(n.alert for n in left), 1000)
        foot.append(f"and {len(left)} more: {literal(names)}")
    return [
        HeaderBlock(text=unsigned(text.title(notifications))[:_HEADER]).to_dict(),
        *(SectionBlock(text=MarkdownTextObject(text=s, verbatim=True)).to_dict() for s in sections),
        ContextBlock(elements=[MarkdownTextObject(text=" · ".join(foot), verbatim=True)]).to_dict(),
    ]


def _section(n: Notification, settings: Settings, brief: bool, alone: bool) -> str:
    # Of one alert alone the header says the name and the state.
    name = "" if alone else f" *{literal(plain(n.alert, 100))}*: {text.state(n)} ·"
    mark = ":white_check_mark:" if n.kind == "resolved" else _MARK.get(n.severity, ":grey_question:")
    said = [" ".join([f"{mark}{name}", text.when(n), *text.notes(n)])]
    said += [f"• {literal(fact)}" for fact in text.facts(n, 2 if brief else 5)]
    if story := "" if brief else text.story(n):
        # Its commands are to be copied: code stays code, but no block of it may swallow the next line.
        said.append(_LABELS.sub(r"\n*\1*", escape(story).replace("```", "")))
    docs = text.docs_page(n, settings)
    reads = [_link(n.runbook, "runbook") if n.runbook else "", _link(docs, "docs") if docs else ""]
    reads += [f"owner {literal(plain(n.owner, 80))}"] if n.owner else []
    last = " · ".join(filter(None, reads))
    most = _SECTION - len(last)
    body = "\n".join(said)
    # Half of an &amp; would be read as it stands.
    body = body if len(body) < most else re.sub(r"&[a-z]*$", "", body[: most - 2]) + "…"
    return f"{body}\n{last}"


def _link(target: str, label: str) -> str:
    """A link, if it is an address that cannot end the link before its time; else its text."""
    if re.fullmatch(r"https?://[!-;=?-{}~]{1,500}", target):
        return f"<{target.replace('&', '&amp;')}|{label}>"
    return f"{label} {literal(plain(target))}"


def _content(notifications: list[Notification], settings: Settings) -> dict[str, Any]:
    """What both ways of posting take. The text is what a notification on a phone says."""
    worst = text.facts(notifications[0], 1)[:1] if len(notifications) == 1 else []
    summary = " - ".join([text.title(notifications), *worst, text.environment(notifications)])
    return {"text": literal(summary), "blocks": blocks(notifications, settings)} | _WITHOUT_PREVIEWS


def _sent(post: Callable[[dict[str, Any]], T], notifications: list[Notification], settings: Settings) -> T:
    """Posts it with blocks; one notification also as plain text, if Slack does not take its blocks."""
    try:
        return post(_content(notifications, settings))
    except Undelivered as error:
        if not error.is_about_message or len(notifications) > 1:
            raise
        result = post({"text": literal(text.as_text(notifications, settings)[:_PLAIN])} | _WITHOUT_PREVIEWS)
        logger.warning("%s It was sent as plain text.", error)
        return result


class _Stays(HTTPRedirectHandler):
    """Follows nobody elsewhere: what leads there would get the token, and the message would be lost on the way."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = build_opener(_Stays)


class _Webhook(WebhookClient):
    def _perform_http_request_internal(self, url: str, req: Request) -> WebhookResponse:
        with _OPENER.open(req, timeout=self.timeout) as answer:
            body = answer.read(_MOST_BYTES).decode(errors="replace")
            return WebhookResponse(url=url, status_code=answer.status, body=body, headers=answer.headers)


class _Bot(WebClient):
    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        with _OPENER.open(req, timeout=self.timeout) as answer:
            body = answer.read(_MOST_BYTES).decode(errors="replace")
            return {"status": answer.status, "headers": answer.headers, "body": body}


def _post(settings: Settings, notifications: list[Notification]) -> None:
    """By the webhook. Only a legacy one can be sent to another channel; others do not look at it."""
    url, channel = given(settings, "slack_webhook_url"), notifications[0].channel
    client = _Webhook(url, timeout=deadline().answer_seconds, retry_handlers=_retries())

    def post(content: dict[str, Any]) -> None:
        body = content | ({"channel": channel} if channel else {})
        response = _asked(lambda: client.send_dict(body), "SLACK_WEBHOOK_URL")
        if response.status_code != HTTPStatus.OK or response.body != "ok":
            advice = "check SLACK_WEBHOOK_URL, and look this error up in Slack's documentation of incoming webhooks"
            raise _refused("the message", settings, response.status_code, response.body, advice)

    _sent(post, notifications, settings)


def _reply(settings: Settings, notifications: list[Notification]) -> str | None:
    """By the bot: the first message of an episode begins a thread, and the others reply there."""
    (notification,) = notifications
    channel, _, thread = (notification.reference or "").rpartition("/")
    if channel and thread:
        try:
            _say(settings, notification, channel, thread)
            return notification.reference
        except _Gone:
            logger.info("The thread of %s is gone: it begins a new one.", plain(notification.alert, 100))
    return _say(settings, notification, notification.channel or given(settings, "slack_channel"))


class _Gone(Undelivered):
    """There is nothing any more to reply to."""


def _say(settings: Settings, notification: Notification, channel: str, thread: str | None = None) -> str | None:
    """Posts, and returns the reference for replies."""
    token = given(settings, "slack_bot_token")
    api = str(settings.slack_api_url)
    client = _Bot(token, base_url=api, timeout=deadline().answer_seconds, retry_handlers=_retries())
    # Whoever left the thread alone has to see that it got worse.
    options = {"thread_ts": thread, "reply_broadcast": notification.kind in ("escalated", "widened")} if thread else {}

    def post(content: dict[str, Any]) -> Any:
        try:
            return _asked(lambda: client.chat_postMessage(channel=channel, **content, **options), "SLACK_API_URL")
        except SlackApiError as error:
            word, status = str(error.response.get("error")), error.response.status_code
            if thread and word in _GONE:
                raise _Gone(f"Slack does not know the thread any more: {word}.") from None
            advice = (
                "check that the app is in the channel, and that SLACK_BOT_TOKEN (xoxb-...) has the scope chat:write"
            )
            raise _refused(f"the message for {plain(channel, 80)}", settings, status, word, advice) from None

    said = _sent(post, [notification], settings)
    return f"{said['channel']}/{said['ts']}" if said.get("channel") and said.get("ts") else None


def _refused(what: str, settings: Settings, status: int, said: str, advice: str) -> Undelivered:
    """With the remedy for Slack's word; with `advice` for an answer that has no known one."""
    words = _WORD.findall(said[:500])
    word = next((word for word in words if word in _REMEDIES), "")
    error = refusal(f"Slack refused {what}", settings, status, said, _REMEDIES.get(word, advice))
    error.certain &= word not in _UNSURE
    error.is_about_message = word in _ABOUT_MESSAGE if word else status in _BAD_MESSAGE
    return error


def _asked(ask: Callable[[], T], setting: str) -> T:
    try:
        return ask()
    except SlackApiError:
        raise
    except URLError as error:
        why = type(error.reason).__name__
        raise Undelivered(
            f"Slack could not be reached ({why}); check {setting} and the network.", is_down=True
        ) from None
    except Exception as error:
        raise Undelivered(
            f"Slack took the message and did not answer ({type(error).__name__}): it may have arrived. "
            "Look at the network, and at status.slack.com.",
            certain=False,
            is_down=True,
        ) from None


class _InTime:
    """Tries again while time is left for another answer."""

    def can_retry(self, **asked: Any) -> bool:
        return deadline().left > 0 and super().can_retry(**asked)  # type: ignore[misc]


class _Unsent(_InTime, ConnectionErrorRetryHandler):
    """After a connection that failed. A message whose answer was lost may have arrived: it is not sent once more."""


class _Down(_InTime, ServerErrorRetryHandler):
    """After an error of the server."""


class _RateLimit(_InTime, RateLimitErrorRetryHandler):
    """After the pause that Slack asks for, if time is left then."""

    def _can_retry(self, *, response: Any = None, **asked: Any) -> bool:
        if not super()._can_retry(response=response, **asked):
            return False
        pause = next((values[0] for name, values in response.headers.items() if name.lower() == "retry-after"), "1")
        return pause.isdecimal() and len(pause) < _DIGITS and int(pause) < deadline().left


def _retries() -> list[RetryHandler]:
    return [_Unsent(max_retry_count=2, error_types=[URLError]), _RateLimit(max_retry_count=3), _Down(max_retry_count=3)]
