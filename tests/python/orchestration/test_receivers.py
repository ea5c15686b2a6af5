"""What each receiver is sent, and what is known when it does not take it."""

import contextlib
import http.server
import json
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pagerduty import EventsApiV2Client
from prefect.blocks.core import Block
from prefect.blocks.notifications import CustomWebhookNotificationBlock, MattermostWebhook, SlackWebhook
from pydantic import SecretStr

from orchestration import receivers
from orchestration.outcomes import CURRENT_RUN, RunInfo, run_as
from orchestration.receivers import RECEIVERS, Answer, Notification, base, send_all, slack
from orchestration.receivers.text import as_text
from orchestration.settings import Settings
from tests.python.web import SECRET, Receiver

TOKEN = "xoxb-s3cr3tPart-of-a-token"
KEY = "s3cr3tPart0123456789abcdef012345"
EVERY = ["slack", "bot", "pagerduty", "webhook", "prefect"]
HOSTILE = "<!channel> <@U123> <https://evil|click> ```*b* ~s~ `c` &amp; \u202e\u061c\x1b[31m\r\nforged \ud800"


def _notification(alert: str = "partition_stalled", **changes: Any) -> Notification:
    entity = {"entity": "orders partition 4", "measured": "STALL", "allowed": "not STALL or STOP", "level": 2}
    entity |= {"since": "2026-03-02 12:10:00", "detail": "144 events"}
    started = replace(
        receivers.test_notification("slack"),
        alert=alert,
        opened_at="2026-03-02 12:10:00",
        last_seen_at="2026-03-02 15:10:00",
        severity="error",
        entities=[entity],
        entity_count=1,
        description="Records wait.\nFirst command: `python -m orchestration status > now`",
        owner="data-engineering",
        runbook="README.md#partition_stalled",
        model="watch_partitions",
    )
    return replace(started, **changes)


class Web(Receiver):
    """The receiver on loopback; an answer of status 0 hangs up, and one of status -1 never comes."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.asked: list[str] = []
        self.over = threading.Event()
        web, post = self, self.server.RequestHandlerClass.do_POST  # type: ignore[attr-defined]

        def do_POST(handler: http.server.BaseHTTPRequestHandler) -> None:
            web.headers.append({name.lower(): value for name, value in handler.headers.items()})
            web.paths.append(handler.path)
            if web.answers and web.answers[0][0] <= 0:
                web.received.append(json.loads(handler.rfile.read(int(handler.headers["Content-Length"]))))
                if web.answers.pop(0)[0] < 0:
                    web.over.wait(20)
                handler.close_connection = True
                return
            post(handler)

        def do_GET(handler: http.server.BaseHTTPRequestHandler) -> None:
            web.asked.append(handler.path)
            handler.send_response(200)
            handler.end_headers()
            handler.wfile.write(b"ok")

        self.server.RequestHandlerClass.do_POST = do_POST  # type: ignore[attr-defined]
        self.server.RequestHandlerClass.do_GET = do_GET  # type: ignore[attr-defined]
        self.host = f"http://127.0.0.1:{self.server.server_port}"
        self.url = f"{self.host}/services/{SECRET}"

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()

    def send(self, which: str, *notifications: Notification, **more: Any) -> list[Answer]:
        """By one of EVERY, of which "bot" is Slack too."""
        settings = {
            "slack": {"slack_webhook_url": self.url},
            "bot": {"slack_bot_token": TOKEN, "slack_channel": "#ops", "slack_api_url": f"{self.host}/api/"},
            "pagerduty": {"pagerduty_routing_key": KEY},
            "webhook": {"alert_webhook_url": self.url, "alert_webhook_token": TOKEN},
            "prefect": {"prefect_notification_block": "custom-webhook/ops"},
        }[which]
        sender = RECEIVERS["slack" if which == "bot" else which].send
        return list(sender(list(notifications) or [_notification()], Settings(**(settings | more))))


ACCEPTS = {
    "slack": (200, "ok", {}),
    "bot": (200, json.dumps({"ok": True, "channel": "C1", "ts": "17.1"}), {}),
    "pagerduty": (202, json.dumps({"status": "success", "dedup_key": "streaming-ops/x"}), {}),
    "webhook": (204, "", {}),
    "prefect": (200, "", {}),
}


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """Nobody waits here: pauses are only noted."""
    web = Web()
    web.pauses = []  # type: ignore[attr-defined]
    monkeypatch.setattr("time.sleep", web.pauses.append)  # type: ignore[attr-defined]
    # Its client takes only https.
    monkeypatch.setattr(EventsApiV2Client, "normalize_url", lambda _, path: f"{web.host}{path}")
    custom = CustomWebhookNotificationBlock(
        name="ops",
        url="{{address}}",
        json_data={"subject": "{{subject}}", "text": "{{body}}"},
        secrets={"address": web.url},
        timeout=5,
    )
    monkeypatch.setattr(Block, "load", lambda name: custom)
    yield web
    web.close()


@pytest.fixture(autouse=True)
def nothing_is_told(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test does, no log has a secret, at any level."""
    with caplog.at_level(logging.DEBUG):
        yield
    assert "s3cr3tPart" not in caplog.text


def _one(answers: list[Answer]) -> Answer:
    (answer,) = answers
    assert "s3cr3t" not in repr(answer)
    assert answer.accepted is (answer.problem is None)
    return answer


def _text(sent: dict[str, Any]) -> str:
    return "\n".join(block["text"]["text"] for block in sent["blocks"] if "text" in block)


@pytest.mark.parametrize("which", EVERY)
def test_what_is_accepted_is_told_once(web: Web, which: str) -> None:
    web.answers = [ACCEPTS[which]]
    answer = _one(web.send(which))
    assert answer.accepted
    assert answer.certain
    (sent,) = web.received
    assert "partition_stalled" in json.dumps(sent)
    assert "orders partition 4" in json.dumps(sent)


@pytest.mark.parametrize("which", [w for w in EVERY if w != "prefect"])
@pytest.mark.parametrize("trouble", [(429, "slow down", {"Retry-After": "2"}), (500, "oops", {}), (503, "", {})])
def test_what_passes_is_asked_again(web: Web, which: str, trouble: tuple[int, str, dict[str, str]]) -> None:
    web.answers = [trouble, trouble, ACCEPTS[which]]
    assert _one(web.send(which)).accepted
    assert len(web.received) == 3
    if trouble[0] == 429:
        assert all(pause >= 2 for pause in web.pauses)  # type: ignore[attr-defined]


@pytest.mark.parametrize("which", EVERY)
def test_what_does_not_pass_is_a_problem_and_the_rest_waits_for_the_next_tick(web: Web, which: str) -> None:
    mine = {"slack": f"/services/{SECRET}", "bot": TOKEN, "pagerduty": KEY, "webhook": SECRET, "prefect": SECRET}
    web.answers = [(500, f"down: {mine[which]}", {})] * 20
    first, *others = web.send(which, *(_notification(str(n), channel=f"#{n}") for n in range(3)))
    assert not first.accepted
    assert first.certain
    assert "500" in _one([first]).problem  # type: ignore[operator]
    assert len(web.received) <= 4
    if which != "prefect":  # there it is one message
        assert all("Not tried" in _one([other]).problem and other.certain for other in others)  # type: ignore[operator]


@pytest.mark.parametrize("which", ["slack", "bot", "webhook"])
def test_nobody_waits_for_an_hour(web: Web, which: str) -> None:
    web.answers = [(429, "slow down", {"Retry-After": "3600"})] * 9
    answer = _one(web.send(which))
    assert not answer.accepted
    assert answer.certain
    assert len(web.received) == 1


@pytest.mark.parametrize("which", EVERY)
@pytest.mark.parametrize("status", [0, -1])
def test_what_is_not_answered_may_have_arrived(
    web: Web, which: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "DEADLINE", 3)
    web.answers = [(status, "", {})] * 9
    answer = _one(web.send(which))
    assert not answer.accepted
    assert not answer.certain
    # A repeat does no harm at PagerDuty, which knows it by its key.
    assert len(web.received) == (2 if which == "pagerduty" else 1)


@pytest.mark.parametrize("which", EVERY)
def test_nobody_listening_is_a_problem_that_does_not_tell_the_address(web: Web, which: str) -> None:
    web.close()
    answer = _one(web.send(which))
    assert not answer.accepted
    assert answer.certain


@pytest.mark.parametrize(
    ("which", "refusal", "told"),
    [
        ("slack", (404, "no_service", {}), "SLACK_WEBHOOK_URL is revoked"),
        ("slack", (403, "action_prohibited", {}), "ask an administrator"),
        ("slack", (404, "channel_not_found", {}), "set SLACK_CHANNEL"),
        ("slack", (410, "channel_is_archived", {}), "choose another channel"),
        ("slack", (404, f"no such page: /services/{SECRET}", {}), "no such page"),
        ("bot", (200, '{"ok": false, "error": "not_in_channel"}', {}), "#ops"),
        ("bot", (200, '{"ok": false, "error": "not_in_channel"}', {}), "/invite"),
        ("bot", (200, '{"ok": false, "error": "is_archived"}', {}), "choose another channel"),
        ("bot", (200, '{"ok": false, "error": "token_revoked"}', {}), "replace it"),
        ("bot", (200, '{"ok": false, "error": "as_new_as_today"}', {}), "chat:write"),
        ("bot", (200, '{"ok": false, "error": "invalid_auth"}', {}), "SLACK_BOT_TOKEN"),
        ("bot", (200, f"<html>{TOKEN}", {}), "chat:write"),
        ("pagerduty", (400, f'{{"errors": ["no such key {KEY}"]}}', {}), "PAGERDUTY_ROUTING_KEY"),
        ("pagerduty", (401, "", {}), "PAGERDUTY_ROUTING_KEY"),
        ("pagerduty", (202, "[]", {}), "PAGERDUTY_ROUTING_KEY"),
        ("webhook", (401, f"{TOKEN}", {}), "ALERT_WEBHOOK_TOKEN"),
        ("webhook", (302, "", {"Location": "http://127.0.0.1:1/"}), "leads elsewhere"),
        ("slack", (429, "", {"Retry-After": "9" * 5000}), "overloaded"),
        ("prefect", (404, "", {}), "404"),
    ],
)
def test_a_refusal_is_a_problem_at_once_and_says_what_to_do(
    web: Web, which: str, refusal: tuple[int, str, dict[str, str]], told: str
) -> None:
    web.answers = [refusal]
    answer = _one(web.send(which))
    assert not answer.accepted
    assert answer.certain
    assert told in (answer.problem or "")
    assert len(web.received) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("which", ["slack", "bot", "pagerduty", "webhook"])
def test_nobody_is_followed_elsewhere(web: Web, which: str, status: int) -> None:
    elsewhere = Web()
    try:
        web.answers = [(status, "", {"Location": f"{elsewhere.url}/login"})]
        assert not _one(web.send(which)).accepted
        assert elsewhere.headers == []
        assert elsewhere.asked == []
    finally:
        elsewhere.close()


@pytest.fixture
def dripping() -> Iterator[tuple[str, list[int]]]:
    """The address of a server that sends its answers a byte at a time, and never ends one; and how many it was sending
    whenever it began another one.
    """
    over, active, seen = threading.Event(), Counter[str](), list[int]()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(500)
            self.end_headers()
            active["answers"] += 1
            seen.append(active["answers"])
            with contextlib.suppress(OSError):
                while not over.wait(0.05):
                    self.wfile.write(b"x")
            active["answers"] -= 1

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/services/{SECRET}", seen
    over.set()
    server.shutdown()
    server.server_close()


def test_receivers_that_drip_take_one_deadline_and_hold_up_nobody(web: Web, dripping: tuple[str, list[int]]) -> None:
    address, at_once = dripping
    settings = Settings(slack_webhook_url=address, alert_webhook_url=address, prefect_notification_block="a/b")
    sent = [_notification(n, receiver=to) for to in ("slack", "webhook", "prefect") for n in ("a", "b")]
    answers = send_all(sent, settings, seconds=3)
    # Not one after the other.
    assert max(at_once) == 2
    assert [answer.notification for answer in answers] == sent
    for answer in answers[:4]:
        assert (answer.accepted, answer.certain) == (False, False)
        assert f"{answer.notification.receiver}: did not finish answering within 3 s" in (answer.problem or "")
    assert [answer.accepted for answer in answers[4:]] == [True, True]


def test_what_is_known_at_the_deadline_counts_and_later_messages_are_not_tried(web: Web) -> None:
    web.answers = [ACCEPTS["webhook"], (-1, "", {})]
    sent = [_notification(n, receiver="webhook") for n in "abc"]
    answers = send_all(sent, Settings(alert_webhook_url=web.url), seconds=3)
    assert [(answer.accepted, answer.certain) for answer in answers] == [(True, True), (False, False), (False, True)]
    assert len(web.received) == 2


def test_no_message_is_sent_when_the_time_is_up(web: Web) -> None:
    (answer,) = send_all([_notification(receiver="webhook")], Settings(alert_webhook_url=web.url), seconds=0)
    assert not answer.accepted
    assert web.received == []


def test_a_receiver_whose_code_fails_is_a_problem_of_its_own(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Iterator[Answer]:
        seen.append(CURRENT_RUN.get())
        raise ValueError(SECRET)
        yield

    seen: list[RunInfo] = []
    monkeypatch.setitem(RECEIVERS, "slack", replace(RECEIVERS["slack"], send=broken))
    web.answers = [ACCEPTS["webhook"]]
    with run_as(RunInfo("123")):
        both = [_notification(), _notification(receiver="webhook")]
        first, second = send_all(both, Settings(alert_webhook_url=web.url))
    assert "slack: ValueError at test_receivers.py" in (_one([first]).problem or "")
    assert second.accepted
    # A thread belongs to the flow run that sends.
    assert seen == [RunInfo("123")]


_BLOCKS = (400, "invalid_blocks", {})
_LONG = (200, '{"ok": false, "error": "msg_too_long"}', {})


@pytest.mark.parametrize("refusal", [_BLOCKS, (400, '{"ok":false,"error":"invalid_payload"}', {}), (413, "", {})])
def test_a_message_that_slack_refuses_is_sent_alone_and_then_as_plain_text(
    web: Web, refusal: tuple[int, str, dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    web.answers = [refusal, (200, "ok", {}), refusal, (200, "ok", {}), (200, "ok", {})]
    answers = web.send("slack", *(_notification(name) for name in ("one", "<!channel>", "three")))
    assert [answer.accepted for answer in answers] == [True] * 3
    together, *alone = web.received
    assert all(name in json.dumps(together) for name in ("one", "three"))
    assert ["blocks" in sent for sent in alone] == [True, True, False, True]
    assert "&lt;!channel&gt;: FIRING" in alone[2]["text"]
    assert "orders partition 4" in alone[2]["text"] and "environment: local" in alone[2]["text"]
    assert "It was sent as plain text." in caplog.text


def test_a_message_that_slack_refuses_in_every_form_blocks_no_other(web: Web) -> None:
    web.answers = [_BLOCKS, _BLOCKS, _BLOCKS, (200, "ok", {})]
    bad, good = web.send("slack", _notification("a"), _notification("b"))
    assert "please report it" in (_one([bad]).problem or "")
    assert good.accepted


@pytest.mark.parametrize("reference", [None, "C1/16.0"])
def test_the_bot_sends_plain_text_where_slack_refuses_the_blocks(web: Web, reference: str | None) -> None:
    web.answers = [_LONG, ACCEPTS["bot"]]
    answer = _one(web.send("bot", _notification("a" * 3000, reference=reference, description="& " * 3000)))
    assert answer.reference == (reference or "C1/17.1")
    first, second = web.received
    assert "blocks" in first and "blocks" not in second
    assert first.get("thread_ts") == second.get("thread_ts")
    assert len(second["text"]) < 12_000


@pytest.mark.parametrize("word", ["no_service", "no_team", "invalid_token", "action_prohibited", "channel_not_found"])
def test_an_error_of_the_address_or_the_channel_is_no_fault_of_a_message(web: Web, word: str) -> None:
    web.answers = [(400, word, {})] * 5
    answers = web.send("slack", _notification("a"), _notification("b"))
    assert not any(answer.accepted for answer in answers)
    assert len(web.received) == 1


def test_two_environments_have_keys_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def keys(prefix: str) -> list[str]:
        monkeypatch.setenv("STREAMING_OPS_SCHEMA_PREFIX", prefix)
        alert = replace(_notification(), origin=receivers.test_notification("slack").origin)
        return [alert.dedup_key, replace(alert, is_fault=True).dedup_key]

    ours, theirs = keys(""), keys("STAGING_")
    assert not set(ours) & set(theirs)
    alert, fault = theirs
    assert alert.startswith("streaming-ops/local /") and alert.endswith(
        " STAGING_/partition_stalled/2026-03-02 12:10:00"
    )
    assert fault.endswith(" STAGING_/partition_stalled")


def test_a_key_is_no_longer_than_pagerduty_takes() -> None:
    where = [replace(_notification("a" * 500), origin=f"{'/folder' * 90}/{n}") for n in (1, 1, 2)]
    first, again, other = (n.dedup_key for n in where)
    assert first == again != other
    assert len(first) <= 255


@pytest.mark.parametrize("which", EVERY)
def test_every_message_says_which_environment_it_is_from(web: Web, which: str) -> None:
    web.answers = [ACCEPTS[which]]
    web.send(which, _notification(origin="snowflake ORG-A STREAMING_OPS STAGING_"))
    (sent,) = web.received
    shown = {
        "pagerduty": lambda: [sent["payload"]["source"], sent["payload"]["summary"]],
        "webhook": lambda: [sent["origin"], sent["dedup_key"]],
        "prefect": lambda: [sent["text"]],
    }.get(which, lambda: [sent["blocks"][-1]["elements"][0]["text"], sent["text"]])
    assert all("snowflake ORG-A STREAMING_OPS STAGING_" in text for text in shown())


@pytest.mark.parametrize("channel", ["C\ud800", "C" * 2000, "C\n'"])
def test_a_reference_that_cannot_be_one_is_none(web: Web, channel: str) -> None:
    web.answers = [(200, json.dumps({"ok": True, "channel": channel, "ts": "1"}), {})]
    answer = _one(web.send("bot"))
    assert answer.accepted
    assert answer.reference is None


def test_a_large_answer_is_not_read(web: Web) -> None:
    web.answers = [(400, "x" * 10_000_000, {})]
    assert len(_one(web.send("webhook")).problem or "") < 500
    web.answers = [(200, "ok" + "x" * 10_000_000, {})]
    assert len(_one(web.send("slack")).problem or "") < 500


def test_one_refused_message_does_not_stop_the_others(web: Web) -> None:
    web.answers = [(400, "bad", {}), ACCEPTS["webhook"]]
    assert [a.accepted for a in web.send("webhook", _notification("a"), _notification("b"))] == [False, True]


@pytest.mark.parametrize("which", EVERY)
def test_what_is_not_set_is_a_problem(which: str) -> None:
    name = "slack" if which == "bot" else which
    settings = Settings(slack_bot_token=TOKEN) if which == "bot" else Settings()
    answer = _one(list(RECEIVERS[name].send([_notification()], settings)))
    assert not answer.accepted
    assert "is not set" in (answer.problem or "")
    assert RECEIVERS[name].is_configured(settings) is (which == "bot")


def test_a_fault_of_ours_is_an_answer(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slack, "blocks", lambda *_: {}[TOKEN])
    answer = _one(web.send("slack"))
    assert "KeyError at test_receivers.py" in (answer.problem or "")


def test_slack_is_told_what_measured_against_what_since_when_and_where_to_read_on(web: Web) -> None:
    web.send("slack", streaming_ops_docs_url="https://docs.example.com/ops/")
    (sent,) = web.received
    assert [block["type"] for block in sent["blocks"]] == ["header", "section", "context"]
    for fact in (
        "partition_stalled",
        "FIRING",
        "since 2026-03-02 12:10 UTC",
        "orders partition 4: STALL, expected not STALL or STOP",
        "144 events",
        "`python -m orchestration status &gt; now`",
        "README.md#partition_stalled",
        "<https://docs.example.com/ops/#!/model/model.streaming_ops.watch_partitions|docs>",
        "owner data-engineering",
    ):
        assert fact in _text(sent)
    assert "channel" not in sent
    assert sent["text"].startswith("partition_stalled: FIRING - orders partition 4")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"kind": "repeated"}, "still firing for 3 hours"),
        ({"kind": "escalated"}, "escalated to error"),
        ({"kind": "widened"}, "firing for more"),
        ({"kind": "resolved", "resolved_at": "2026-03-02 12:35:00"}, "resolved after 25 minutes"),
        ({"may_have_arrived": True}, "(repeat: an earlier attempt may have arrived)"),
        ({"entity_count": 500}, "and 499 more"),
        ({"runbook": "https://wiki.example.com/a?b=1&c=2"}, "<https://wiki.example.com/a?b=1&amp;c=2|runbook>"),
        ({"runbook": "https://wiki.example.com/>|<!channel>"}, "runbook https://wiki.example.com/&gt;|&lt;!channel"),
    ],
)
def test_slack_is_told_where_the_episode_is_in_its_life(web: Web, changes: dict[str, Any], told: str) -> None:
    web.send("slack", replace(_notification(), **changes))
    assert told in _text(web.received[0])


def test_a_channel_is_one_message_and_all_of_it_arrives_or_nothing(web: Web) -> None:
    web.answers = [(200, "ok", {}), (404, "channel_not_found", {})]
    sent = [_notification("a"), _notification("b", channel="#x"), _notification("c")]
    answers = web.send("slack", *sent)
    assert {a.notification.alert: a.accepted for a in answers} == {"a": True, "c": True, "b": False}
    assert [s.get("channel") for s in web.received] == [None, "#x"]
    assert "2 firing" in _text(web.received[0])


def test_the_bot_answers_in_the_thread_of_the_episode(web: Web) -> None:
    web.answers = [ACCEPTS["bot"]] * 3
    reference = _one(web.send("bot", _notification(channel="#stream"))).reference
    assert reference == "C1/17.1"
    for kind in ("escalated", "resolved"):
        assert _one(web.send("bot", replace(_notification(), kind=kind, reference=reference))).reference == reference
    first, escalated, resolved = web.received
    assert (first["channel"], first.get("thread_ts")) == ("#stream", None)
    assert (escalated["channel"], escalated["thread_ts"], escalated["reply_broadcast"]) == ("C1", "17.1", True)
    assert (resolved["thread_ts"], resolved["reply_broadcast"]) == ("17.1", False)
    assert web.headers[0]["authorization"] == f"Bearer {TOKEN}"
    assert web.paths[0] == "/api/chat.postMessage"


def test_where_the_thread_is_gone_the_bot_begins_another(web: Web) -> None:
    web.answers = [(200, '{"ok": false, "error": "thread_not_found"}', {}), ACCEPTS["bot"]]
    answer = _one(web.send("bot", _notification(reference="C0/16.0", kind="repeated")))
    assert answer.reference == "C1/17.1"
    assert web.received[1]["channel"] == "#ops"


def test_without_a_receiver_the_message_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    assert _one(list(RECEIVERS["log"].send([_notification()], Settings()))).accepted
    assert "No receiver is configured (SLACK_WEBHOOK_URL" in caplog.text
    assert "orders partition 4" in caplog.text


def test_pagerduty_has_one_alert_for_an_episode(web: Web) -> None:
    web.answers = [ACCEPTS["pagerduty"]] * 5
    pages = {"runbook": "https://wiki.example.com", "severity": "warn"}
    for kind in ("firing", "escalated", "widened", "repeated", "resolved"):
        web.send("pagerduty", replace(_notification(), kind=kind, **pages))
    assert [sent["event_action"] for sent in web.received] == ["trigger"] * 4 + ["resolve"]
    assert {sent["dedup_key"] for sent in web.received} == {_notification().dedup_key}
    assert {sent["routing_key"] for sent in web.received} == {KEY}
    payload = web.received[0]["payload"]
    assert payload["severity"] == "warning"
    assert payload["custom_details"]["entities"][0]["detail"] == "144 events"
    assert web.received[0]["links"] == [{"href": "https://wiki.example.com", "text": "Runbook"}]


def test_the_webhook_gets_every_field(web: Web) -> None:
    web.answers = [ACCEPTS["webhook"]]
    notification = _notification()
    web.send("webhook", notification)
    assert web.received == [{"version": 1, "dedup_key": notification.dedup_key} | vars(notification)]
    assert web.headers[0]["authorization"] == f"Bearer {TOKEN}"


def test_the_block_is_told_everything_in_one_plain_text(web: Web) -> None:
    answers = web.send("prefect", _notification("a"), _notification("b"))
    assert [a.accepted for a in answers] == [True, True]
    (sent,) = web.received
    assert sent["subject"] == "streaming-ops: 2 firing"
    assert "a: FIRING - error since 2026-03-02 12:10 UTC\n  orders partition 4: STALL" in sent["text"]


@pytest.mark.parametrize("block", [SlackWebhook, MattermostWebhook])
def test_a_block_of_apprise_that_is_refused_does_not_tell_its_token(
    web: Web, block: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = SECRET.rpartition("/")[2] + "ZYXWVUTSRQPONML"
    made = (
        SlackWebhook(url=SecretStr(f"https://hooks.slack.com/services/T00000000/B00000000/{token}"))
        if block is SlackWebhook
        else MattermostWebhook(hostname="127.0.0.1", port=1, token=SecretStr(token), secure=False)
    )
    if block is SlackWebhook:
        # There is no network here, and nothing is to be sent where there is one.
        monkeypatch.setenv("HTTPS_PROXY", f"{web.host}")
    monkeypatch.setattr(Block, "load", lambda name: made)
    answer = _one(web.send("prefect"))
    assert not answer.accepted
    assert not answer.certain


@pytest.mark.parametrize("which", EVERY)
def test_text_from_outside_pings_nobody_and_stays_within_the_limits(web: Web, which: str) -> None:
    entity = {"entity": HOSTILE, "measured": HOSTILE, "allowed": HOSTILE, "since": HOSTILE, "detail": HOSTILE * 1500}
    changes = {"entities": [entity | {"level": 2}] * 500, "entity_count": 500, "owner": HOSTILE, "runbook": HOSTILE}
    notification = replace(_notification(HOSTILE * 3), **changes, description=HOSTILE * 1500)
    web.answers = [ACCEPTS[which]]
    assert _one(web.send(which, notification)).accepted
    (sent,) = web.received
    told = json.dumps(sent, ensure_ascii=False)
    if which == "webhook":  # which is for machines, and only bounded
        assert len(told) < 20 * 6 * 5000
        return
    if which == "pagerduty":
        assert len(json.dumps(sent["payload"]["custom_details"]).encode()) < 100_000
        assert len(sent["payload"]["summary"]) <= 1024
        return
    assert not set("\x1b\r\u202e\u061c\ud800") & set(told)
    for sign in ("<!channel>", "<@U123>", "<https://evil", "```"):
        assert sign not in told
    if which == "prefect":
        assert not set("<>@`") & set(sent["text"] + sent["subject"])
        return
    sections = [block["text"]["text"] for block in sent["blocks"] if block["type"] == "section"]
    assert all(len(text) < 3000 and "owner &lt;!channel&gt;" in text for text in sections)
    assert all(len(block["text"]["text"]) <= 150 for block in sent["blocks"] if block["type"] == "header")
    assert all(block["text"]["verbatim"] for block in sent["blocks"] if block["type"] == "section")


@pytest.mark.parametrize("description", ["Records wait. " * 200, "<&>" * 900])
@pytest.mark.parametrize("count", [1, 12, 60])
def test_many_alerts_are_one_message_that_slack_takes(web: Web, count: int, description: str) -> None:
    entities = [{"entity": "y" * 3000, "measured": "<" * 50, "allowed": 1, "since": None, "detail": "x" * 5000}] * 9
    many = {"entities": entities, "entity_count": 9, "description": description}
    answers = web.send("slack", *(replace(_notification(f"alert_{n:02}"), **many) for n in range(count)))
    assert [a.accepted for a in answers] == [True] * count
    (sent,) = web.received
    assert len(sent["blocks"]) <= 50
    assert len(json.dumps(sent["blocks"])) < 13_000
    assert all(len(block["text"]["text"]) <= 3000 for block in sent["blocks"] if block["type"] == "section")
    told = sum(block["type"] == "section" for block in sent["blocks"])
    assert told >= min(count, 5)
    foot = sent["blocks"][-1]["elements"][0]["text"]
    assert told == count or (f"and {count - told} more: " in foot and f"alert_{count - 1}" in foot)


def test_twelve_alerts_as_they_are_have_a_section_each() -> None:
    many = [_notification(f"alert_{n}", description="Records wait. " * 60) for n in range(12)]
    assert sum(block["type"] == "section" for block in slack.blocks(many, Settings())) == 12


def test_what_is_over_is_told_last_and_in_brief() -> None:
    over = _notification("a", kind="resolved", resolved_at="2026-03-02 12:35:00")
    lines = as_text([over, replace(over, alert="b", kind="firing")], Settings()).splitlines()
    assert [line.partition(":")[0] for line in lines if not line.startswith(" ")] == ["environment", "b", "a"]
    assert "a: resolved after 25 minutes - error from 2026-03-02 12:10 to 12:35 UTC" in lines


def test_a_flow_that_failed_has_measured_nothing() -> None:
    entity = {"entity": "dbt", "measured": None, "allowed": None, "since": None, "detail": "no warehouse", "level": 2}
    assert "\n  dbt - no warehouse\n" in as_text([_notification("tick", entities=[entity])], Settings())


def test_a_message_leads_to_the_flow_run_that_sent_it() -> None:
    page = "https://prefect.example.com/runs/flow-run/123"
    with run_as(RunInfo("123", page)):
        assert as_text([_notification()], Settings()).endswith(f"run: {page}")
        assert f"<{page}|" in json.dumps(slack.blocks([_notification()], Settings()))


@pytest.mark.parametrize("which", ["slack", "pagerduty", "webhook"])
def test_a_test_message_leaves_nothing_open(web: Web, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    web.answers = [ACCEPTS[which]] * 2
    settings = Settings(slack_webhook_url=web.url, alert_webhook_url=web.url, pagerduty_routing_key=KEY)
    assert all(answer.accepted for answer in receivers.send_test(which, settings))
    assert "test_message" in json.dumps(web.received[0])
    if which != "slack":
        assert len({sent["dedup_key"] for sent in web.received}) == 1
        assert "resolve" in json.dumps(web.received[1])


def test_the_heartbeat_is_asked_for_and_never_stops_anything(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    asked = threading.Event()

    def do_GET(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked.set()
        handler.send_error(404, SECRET)

    receivers.ping(None)
    web.server.RequestHandlerClass.do_GET = do_GET  # type: ignore[attr-defined]
    receivers.ping(SecretStr(web.url))
    assert asked.is_set()
    assert "HTTP 404; check HEARTBEAT_URL" in caplog.text
    web.close()
    receivers.ping(SecretStr(web.url))
    receivers.ping(SecretStr(f"http://[{SECRET}/"))
    assert "did not arrive (ConnectError)" in caplog.text
