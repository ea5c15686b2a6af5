"""What Slack is sent, and what happens when it does not take it."""

import http.server
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from orchestration.runner import Outcome
from orchestration.settings import Settings
from orchestration.slack import DeliveryError, deliver, message

AS_OF = "2026-03-02T12:12:00Z"
SECRET = "T000/B000/s3cr3tPart"


class Receiver:
    """A webhook on loopback that answers with each of `answers` in turn: (status, body, headers)."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str, dict[str, str]]] = []
        self.received: list[dict[str, Any]] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                status, body, headers = receiver.answers.pop(0) if receiver.answers else (200, "ok", {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/services/{SECRET}"
        self.settings = Settings(slack_webhook_url=self.url)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


def _alert(name: str = "partition_stalled", status: str = "fail", **row: Any) -> tuple[Outcome, dict[str, Any]]:
    meta = {"owner": "data-engineering", "runbook": f"README.md#{name}"}
    described = "Records wait.\nLikely causes: a connector\nthat is down.\nFirst command: `dbt show`"
    outcome = Outcome(name, "test", status, "Got 2 results", described, meta, True, "model.streaming_ops.watch_x")
    defaults = {"level": 2, "entity": "orders partition 4", "measured": "STALL", "allowed": "anything but STALL"}
    return outcome, {"alert": name, **defaults, "since": "2026-03-02 12:10:00", "detail": "144 events", **row}


def test_a_message_says_what_measured_against_what_since_when_and_where_to_read_on(receiver: Receiver) -> None:
    outcome, row = _alert()
    content = message("monitor-streaming", AS_OF, [outcome, Outcome("consumer_lag", "model", "success", "OK")], [row])
    assert content is not None
    deliver(content, receiver.settings)
    (sent,) = receiver.received
    assert [block["type"] for block in sent["blocks"]] == ["header", "section", "context"]
    text = sent["blocks"][1]["text"]["text"]
    for fact in (
        "partition_stalled",
        "orders partition 4: STALL, expected anything but STALL, since 2026-03-02 12:10 UTC - 144 events",
        "Records wait.\nLikely causes: a connector that is down.\nFirst command: `dbt show`\n",
        "Runbook: README.md#partition_stalled · owner data-engineering",
    ):
        assert fact in text
    assert "1 fail" in sent["blocks"][0]["text"]["text"]
    # A terminal is told the same.
    told = {line.strip("• ") for line in text.splitlines()[1:]}
    assert told == {line.strip() for line in content.printed.splitlines()[2:]}


def test_the_docs_are_linked_where_they_are_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMING_OPS_DOCS_URL", "https://docs.example/static_index.html")
    outcome, row = _alert()
    content = message("run", AS_OF, [outcome], [row])
    assert content is not None
    page = "https://docs.example/static_index.html#!/model/model.streaming_ops.watch_x"
    assert f" · <{page}|docs> · " in content.blocks[1]["text"]["text"]
    assert f" · {page} · " in content.printed


def test_nothing_is_sent_when_all_is_well() -> None:
    assert message("run", AS_OF, [Outcome("a", "test", "pass", ""), Outcome("b", "model", "success", "")], []) is None


@pytest.mark.parametrize("status", ["warn", "fail", "error", "skipped"])
def test_every_status_of_dbt_that_is_not_well_is_told(status: str) -> None:
    content = message("run", AS_OF, [Outcome("m", "model", status, "why")], [])
    assert content is not None
    assert f"1 {status}" in content.text
    assert "why" in content.text


@pytest.mark.parametrize("answer", [(500, "oops", {}), (503, "", {}), (429, "slow down", {"Retry-After": "1"})])
def test_a_passing_trouble_is_retried_and_the_message_arrives(
    receiver: Receiver, answer: tuple[int, str, dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [answer, answer]
    content = message("run", AS_OF, [_alert()[0]], [_alert()[1]])
    assert content is not None
    with caplog.at_level(logging.DEBUG):
        deliver(content, receiver.settings)
    assert len(receiver.received) == 3
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("answer", "expected"),
    [((404, "no_service", {}), "no_service"), ((400, "invalid_payload", {}), "400"), ((200, "not ok", {}), "not ok")],
)
def test_a_refusal_is_an_error_at_once_and_does_not_tell_the_address(
    receiver: Receiver, answer: tuple[int, str, dict[str, str]], expected: str
) -> None:
    receiver.answers = [answer]
    content = message("run", AS_OF, [_alert()[0]], [_alert()[1]])
    assert content is not None
    with pytest.raises(DeliveryError, match=expected) as error:
        deliver(content, receiver.settings)
    assert SECRET not in str(error.value)
    assert len(receiver.received) == 1


def test_a_proxy_that_repeats_the_address_does_not_tell_it_to_us(receiver: Receiver) -> None:
    receiver.answers = [(404, f"no such page: /services/{SECRET}", {})]
    content = message("run", AS_OF, [_alert()[0]], [_alert()[1]])
    assert content is not None
    with pytest.raises(DeliveryError, match="no such page") as error:
        deliver(content, receiver.settings)
    assert "s3cr3t" not in str(error.value)


def test_what_steers_a_terminal_is_taken_out() -> None:
    outcome, row = _alert(detail="\x1b]0;title\x07 \x1b[31mred\r\nforged line \u202e\u061c")
    content = message("run", AS_OF, [outcome], [row])
    assert content is not None
    assert not set("\x1b\x07\r\u202e\u061c") & set(content.printed + json.dumps(content.blocks, ensure_ascii=False))
    assert (len(content.text.splitlines()), len(content.printed.splitlines())) == (3, 7)


def test_an_alert_that_was_not_evaluated_does_not_show_what_it_measured_before() -> None:
    outcome, row = _alert(status="skipped")
    content = message("run", AS_OF, [outcome], [row])
    assert content is not None
    assert "orders partition 4" not in content.text


def test_a_server_that_keeps_failing_is_an_error(receiver: Receiver) -> None:
    receiver.answers = [(500, "down", {})] * 10
    content = message("run", AS_OF, [_alert()[0]], [_alert()[1]])
    assert content is not None
    with pytest.raises(DeliveryError, match="500"):
        deliver(content, receiver.settings)
    assert len(receiver.received) == 4


def test_nobody_listening_is_an_error_that_does_not_tell_the_address(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.server.shutdown()
    receiver.server.server_close()
    content = message("run", AS_OF, [_alert()[0]], [_alert()[1]])
    assert content is not None
    with caplog.at_level(logging.DEBUG), pytest.raises(DeliveryError, match="could not be reached") as error:
        deliver(content, receiver.settings)
    assert SECRET not in caplog.text
    assert SECRET not in repr(error.value)
    assert error.value.__suppress_context__


def test_without_a_webhook_the_message_is_logged_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    content = message("run", AS_OF, [_alert()[0]], [_alert()[1]])
    assert content is not None
    deliver(content, Settings())
    assert "SLACK_WEBHOOK_URL is not set" in caplog.text
    assert "orders partition 4" in caplog.text


def test_text_from_outside_pings_nobody_and_breaks_nothing(receiver: Receiver) -> None:
    outcome, row = _alert(entity="<!channel> <https://evil|click> &amp;", detail="*bold* `code` <@U123>\n```")
    content = message("run", AS_OF, [outcome], [row])
    assert content is not None
    deliver(content, receiver.settings)
    sent = json.dumps(receiver.received[0])
    assert "<!channel>" not in sent
    assert "<@U123>" not in sent
    assert "<https://evil" not in sent
    assert "&lt;!channel&gt;" in sent


def test_sixty_problems_with_long_texts_stay_within_slacks_limits() -> None:
    pairs = [_alert(f"alert_{n}", detail="x" * 5000, entity="y" * 3000) for n in range(60)]
    content = message("run", AS_OF, [outcome for outcome, _ in pairs], [row for _, row in pairs for _ in range(9)])
    assert content is not None
    assert len(content.blocks) <= 50
    assert all(len(block["text"]["text"]) <= 3000 for block in content.blocks if block["type"] == "section")
    assert len(json.dumps(content.blocks)) < 13_000
    told = sum(block["type"] == "section" for block in content.blocks)
    assert told > 3
    assert f"and {60 - told} more" in json.dumps(content.blocks)
    assert content.printed.endswith(f"and {60 - told} more")


def test_a_mistyped_webhook_is_an_error_that_hides_it() -> None:
    with pytest.raises(ValueError, match="slack_webhook_url") as error:
        Settings(slack_webhook_url="hooks.slack.com/services/T000/B000/s3cr3tPart")
    assert "s3cr3tPart" not in str(error.value)
