"""Delivery from the flow to the receiver: what is told, and what a receiver that is down or a killed process costs."""

import csv
import io
import json
import os
import random
import shutil
import signal
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from orchestration import notify, runs, steps
from orchestration.__main__ import app
from orchestration.health import show_alerts
from orchestration.outcomes import DbtError, DeliveryError
from orchestration.receivers.base import Deadline
from orchestration.settings import Settings
from orchestration.steps import backfill
from tests.python.forks import FORKS
from tests.python.warehouse import PROJECT_DIR, Warehouse
from tests.python.web import Receiver

T1, T2, T3, T4, T5 = (f"2026-03-02T12:{minute}:00Z" for minute in (12, 17, 22, 27, 32))
# Of ticks without a transform: before that is late.
SOON = [f"2026-03-02T12:{minute}:00Z" for minute in (12, 13, 14)]
# At random moments of a delivery, and how long one takes at the most, in seconds.
KILLS, LONGEST = int(os.environ.get("STREAMING_OPS_KILLS", "0")), 1.5


def test_an_alert_is_told_once_and_that_it_is_over_within_two_ticks(warehouse: Warehouse, slack: Receiver) -> None:
    told = []
    for at, failed_task in ((T1, 1), (T2, 1), (T3, None), (T4, None), (T5, None)):
        warehouse.produce(at, **({"failed_task": failed_task} if failed_task else {}))
        runs.tick(at)
        told.append([text for sent in slack.received if "connector_not_running" in (text := json.dumps(sent))])
        slack.received.clear()
    assert [len(messages) for messages in told] == [1, 0, 0, 1, 0]
    assert "FIRING" in told[0][0] and "esolved" in told[3][0]
    happened = (
        "select event from MONITORING.ALERT_HISTORY where alert = 'connector_not_running' order by happened_at, event"
    )
    events = ["accepted", "attempted", "firing", "accepted", "attempted", "resolved"]
    assert warehouse.sql(happened) == [(event,) for event in events]


def test_a_receiver_that_refuses_gets_one_message_for_all_that_time(warehouse: Warehouse, slack: Receiver) -> None:
    for at in SOON[:2]:
        warehouse.produce(at, failed_task=1)
        slack.answers = [(404, "no_service", {})]
        with pytest.raises(DeliveryError):
            runs.monitor(at)
    slack.answers, slack.received[:] = [], []
    for at in ("2026-03-02T12:14:30Z", "2026-03-02T12:14:40Z"):
        runs.monitor(at)
    (sent,) = slack.received
    text = json.dumps(sent)
    assert "since 2026-03-02 12:12 UTC" in text
    assert "may have arrived" not in text
    assert warehouse.sql("select outcome, count(*) from MONITORING.NOTIFICATIONS group by 1 order by 1") == [
        ("accepted", 1),
        ("attempted", 3),
        ("refused", 2),
    ]


def test_a_connector_that_is_down_speaks_for_the_lag_that_it_causes(warehouse: Warehouse, slack: Receiver) -> None:
    warehouse.produce(T1, failed_task=1, stalled_partition=4)
    runs.monitor(T1)
    text = json.dumps(slack.received)
    assert "connector_not_running: FIRING" in text
    assert "partition_stalled: FIRING" not in text
    results = "select node, level, open_level, open_count from MONITORING.TEST_RESULTS"
    assert warehouse.sql(f"{results} where run_at = '2026-03-02 12:12' and level > 0 order by node") == [
        ("connector_not_running", 2, 2, 1),
        ("partition_stalled", 2, 0, 0),
    ]
    with io.StringIO() as file:
        assert not show_alerts(warehouse.dbt, T1, Console(width=200, file=file))
        shown = file.getvalue()
    assert "muted by connector_not_running" in shown
    assert "nobody" in shown


@pytest.mark.parametrize(
    ("silences", "is_told"),
    [
        ("('connector_*', '*sink task 1')", False),
        ("('*', '*sink task 2'), ('partition_*', null)", True),
    ],
)
def test_a_silence_mutes_what_it_matches(warehouse: Warehouse, slack: Receiver, silences: str, is_told: bool) -> None:
    warehouse.sql(
        "insert into MONITORING.SILENCES (alert, entity, starts_at, ends_at) select *, timestamp '2026-03-02 12:12', "
        f"timestamp '2026-03-02 12:13' from (values {silences})"
    )
    warehouse.produce(T1, failed_task=1)
    runs.monitor(T1)
    assert ("connector_not_running" in json.dumps(slack.received)) == is_told
    # Over is over.
    warehouse.produce(SOON[1], failed_task=1)
    runs.monitor(SOON[1])
    assert len(slack.received) == 1


def test_what_the_night_misses_is_not_over_before_it_is_loaded(warehouse: Warehouse, slack: Receiver) -> None:
    told = []
    warehouse.produce(T1)
    runs.tick(T1)
    # Ten hours behind: no load and no tick looks there.
    warehouse.sql(
        "insert into STREAMING.ORDER_EVENTS select {'topic': 'orders', 'partition': 1, 'offset': -1 - n, "
        "'CreateTime': 1772417520000 + n, 'SnowflakeConnectorPushTime': 1772417520000 + n}::variant, null "
        "from range(3) as r (n)"
    )
    steps = [
        lambda: runs.monitor(T1),
        lambda: runs.nightly(T2),
        lambda: runs.monitor(T3),
        lambda: runs.monitor(T4),
        lambda: list(backfill("2026-03-02T02:00:00Z", "2026-03-02T03:00:00Z", "2026-03-02T12:27:10Z")),
        lambda: runs.monitor(T5),
    ]
    for run in steps:
        run()
        told.append([text[:60] for sent in slack.received if "records_missing" in (text := json.dumps(sent))])
        slack.received.clear()
    assert [len(texts) for texts in told] == [0, 1, 0, 0, 0, 1], told


def test_a_typing_error_in_the_routes_ends_no_alert(
    warehouse: Warehouse, slack: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.produce(T1, failed_task=1)
    runs.monitor(T1)
    assert len(slack.received) == 1
    warehouse.sql("update MONITORING.ALERT_ROUTES set receiver = 'slak'")
    wrong = [steps.seeds.Finding("seeds/alert_routes.csv", 2, "there is no receiver 'slak'")]
    monkeypatch.setattr(steps, "seed_findings", lambda: wrong)
    runs.monitor(SOON[1])
    assert ["seeds are wrong" in json.dumps(sent) for sent in slack.received] == [False, True]
    # A route that was taken out is the end of it.
    monkeypatch.setattr(steps, "seed_findings", list)
    runs.monitor(SOON[2])
    assert any("connector_not_running: resolved" in json.dumps(sent) for sent in slack.received[2:])


def test_a_message_names_what_nothing_mutes(warehouse: Warehouse) -> None:
    rows = [{"entity": "a", "muted_by": "silence"}, {"entity": "b", "muted_by": None}]
    named = {"firing": ["b"], "resolved": ["a", "b"]}
    for kind, names in named.items():
        row = dict.fromkeys(
            ("receiver", "channel", "alert", "severity", "description", "owner", "model", "reference"), ""
        )
        row |= dict.fromkeys(("opened_at", "last_seen_at", "resolved_at"), "2026-03-02 12:00:00")
        row |= {"kind": kind, "runbook": "", "bad_runs": 1, "entity_count": 1, "may_have_arrived": False}
        told = notify._notification(row | {"entities": json.dumps(rows)}, Settings())
        assert [entity["entity"] for entity in told.entities] == names


class _Due:
    """A warehouse in which each of the receivers is due an alert; it keeps what is recorded."""

    def __init__(self, *receivers: str, fails_at: str = "") -> None:
        self.receivers, self.fails_at = receivers, fails_at
        self.recorded: list[tuple[str, str]] = []

    def query(self, statement: str, as_of: str, receivers: list[str], **_: Any) -> list[dict[str, Any]]:
        row = dict.fromkeys(("channel", "owner", "model", "reference", "resolved_at", "runbook", "entities"))
        row |= dict.fromkeys(("opened_at", "last_seen_at"), "2026-03-02 12:00:00")
        row |= {"alert": "partition_stalled", "kind": "firing", "severity": "error", "owner": "me"}
        row |= {"bad_runs": 1, "entity_count": 1, "may_have_arrived": False}
        return [row | {"receiver": receiver} for receiver in self.receivers if receiver in receivers]

    def alerts(self) -> dict[str, str]:
        return {}

    def run_operation(self, name: str, as_of: str, rows: list[dict[str, Any]]) -> None:
        outcomes = [(row["receiver"], row["outcome"]) for row in rows]
        if any(outcome == self.fails_at for _, outcome in outcomes):
            raise DbtError("the warehouse is gone")
        self.recorded += outcomes


def test_while_one_receiver_hangs_the_answer_of_another_is_recorded(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("SLACK_WEBHOOK_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/services/x")
        monkeypatch.setenv("ALERT_WEBHOOK_URL", receiver.url)
        # The time for one answer is longer than the deadline, as where each byte comes in time.
        monkeypatch.setattr(Deadline, "answer_seconds", 9)
        monkeypatch.setattr(Deadline, "left", 9)
        due = _Due("slack", "webhook")
        slack, webhook = notify.deliver(due, T1, seconds=3)  # type: ignore[arg-type]
    assert due.recorded == [("slack", "attempted"), ("webhook", "attempted"), ("webhook", "accepted")]
    assert (slack.name, slack.is_refused, webhook.name, webhook.is_problem) == ("slack", True, "webhook", False)
    assert str(slack).startswith("slack: did not finish answering within 3 s")
    assert receiver.received[0]["origin"].startswith("local /")


def test_a_receiver_that_refuses_is_one_outcome(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK_URL", receiver.url)
    receiver.answers = [(403, "go away", {})] * 2
    (refused,) = notify.deliver(_Due("webhook", "webhook"), T1)  # type: ignore[arg-type]
    assert refused.is_refused
    assert refused.message.count("go away") == 1


def test_answers_that_cannot_be_recorded_are_a_fault(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK_URL", receiver.url)
    sent, broken = notify.deliver(_Due("webhook", fails_at="accepted"), T1)  # type: ignore[arg-type]
    assert not sent.is_problem
    assert broken.is_broken and "the warehouse is gone" in broken.message


def test_the_command_line_adds_a_silence_that_the_seed_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "seeds").mkdir()
    seed = tmp_path / "seeds" / "silences.csv"
    # As an editor leaves it that does not end the last line.
    seed.write_text((PROJECT_DIR / "seeds" / "silences.csv").read_text().rstrip("\n"))
    monkeypatch.setattr("orchestration.settings.PROJECT_DIR", tmp_path)
    arguments = ["silence", 'broker "upgrade", at night', "--hours", "1.5", "--by", "me"]
    mistyped = CliRunner().invoke(app, [*arguments, "--alert", "partitions_*"])
    assert isinstance(mistyped.exception, ValueError)
    assert "No alert is called 'partitions_*'; they are: clock_skew_above_limit, " in str(mistyped.exception)
    arguments += ["--alert", "partition_*"]
    ended = CliRunner().invoke(app, [*arguments, "--from", "2026-03-02T12:00:00Z"])
    assert ended.exit_code == 0, ended.output
    (row,) = csv.DictReader(seed.open())
    assert row == {
        "alert": "partition_*",
        "entity": "*",
        "starts_at": "2026-03-02 12:00:00",
        "ends_at": "2026-03-02 13:30:00",
        "created_by": "me",
        "comment": 'broker "upgrade", at night',
    }


@pytest.fixture(scope="module")
def fired(base_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse in which an alert is due, to copy."""
    file = tmp_path_factory.mktemp("fired") / "warehouse.duckdb"
    shutil.copy(base_warehouse, file)
    assert _in_a_child(_fire, file) == 0
    return file


def _in_a_child(target: Callable[..., None], file: Path, *args: Any, seconds: float | None = None) -> int:
    """Runs it in a process of its own, killed after so many seconds from when it is ready; returns how it ended."""
    ready, theirs = FORKS.Pipe(duplex=False)
    environment = {"STREAMING_OPS_DUCKDB_PATH": str(file), "SLACK_WEBHOOK_URL": os.environ.get("SLACK_WEBHOOK_URL", "")}
    child = FORKS.Process(target=_begin, args=(target, environment, theirs, *args))
    child.start()
    theirs.close()
    if seconds is not None and ready.poll(120):
        child.join(seconds)
        child.kill()
    child.join(120)
    return child.exitcode


def _begin(target: Callable[..., None], environment: dict[str, str], ready: Connection, *args: Any) -> None:
    os.environ.update(environment)
    try:
        target(ready, *args)
    except Exception:
        traceback.print_exc()
        os._exit(1)
    # At once, as the threads of dbt and of the receivers would keep it.
    os._exit(0)


def _fire(_ready: Connection) -> None:
    steps.project().run_operation("generate_stream", SOON[0], orders_per_day=6000, failed_task=1)
    steps.build("tag:monitoring", SOON[0])
    steps.project().close()


def _deliver(ready: Connection, step: str, *moments: str) -> None:
    """Delivers at each of the moments; dies at the step."""

    def die(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def die_after(name: str, calls: int = 1) -> None:
        run, left = getattr(notify, name), [calls]

        def called(*args: Any, **more: Any) -> Any:
            result = run(*args, **more)
            # What is sent is sent when its answers are read.
            result = list(result) if name == "send_all" else result
            left[0] -= 1
            return result if left[0] else die()

        setattr(notify, name, called)

    if step == "attempting":
        notify._record = die
    elif step == "attempted":
        die_after("_record")
    elif step == "sent":
        die_after("send_all")
    elif step == "recorded":
        die_after("_record", 2)
    dbt = steps.project()
    for at in moments:
        dbt.build("evaluation_marks", at)
        ready.send("ready")
        notify.deliver(dbt, at)


MOMENTS = [(step, None) for step in ("attempting", "attempted", "sent", "recorded")]
MOMENTS += [("at a moment", random.Random(n).uniform(0, LONGEST)) for n in range(KILLS)]


@pytest.mark.parametrize(("step", "seconds"), MOMENTS)
def test_a_process_killed_at_any_step_loses_nothing_and_repeats_only_what_it_says_it_repeats(
    fired: Path, slack: Receiver, tmp_path: Path, step: str, seconds: float | None
) -> None:
    file = Path(shutil.copy(fired, tmp_path))
    ended = _in_a_child(_deliver, file, step, SOON[0], seconds=seconds)
    assert ended == -signal.SIGKILL or (seconds is not None and ended == 0)
    assert _in_a_child(_deliver, file, "none", *SOON[1:]) == 0
    repeats = ["may have arrived" in json.dumps(sent) for sent in slack.received]
    print(f"killed {step} {seconds}: {repeats}")
    expected = {"attempting": [[False]], "attempted": [[True]], "sent": [[False, True]], "recorded": [[False]]}
    # At a random moment any of these.
    assert repeats in expected.get(step, [[False], [True], [False, True]])


def test_a_monitor_without_its_tables_is_told_by_the_process_itself(warehouse: Warehouse, slack: Receiver) -> None:
    warehouse.produce(T1, failed_task=1)
    warehouse.sql("drop view MONITORING.ALERT_HISTORY", "drop table MONITORING.NOTIFICATIONS")
    with pytest.raises(DbtError, match=r"(?i)notifications"):
        runs.monitor(T1)
    assert "monitor-streaming failed" in json.dumps(slack.received)


def test_text_from_outside_is_kept_as_it_is(warehouse: Warehouse) -> None:
    hostile = [
        "it's; drop table x; --",
        'a "quoted" \\ backslash',
        "{{ 1/0 }} {% do x %}",
        "<!channel> \u202e *b*",
        "\U0001f642",
    ]
    rows: list[dict[str, Any]] = [
        {"receiver": "slack", "channel": text, "alert": text, "kind": "firing", "level": 2}
        | {"opened_at": "2026-03-02 12:00:00", "last_seen_at": "2026-03-02 12:00:00"}
        | {"outcome": "refused", "reference": text, "problem": text}
        for text in hostile
    ]
    warehouse.dbt.run_operation("record_notifications", T1, rows=rows)
    found = warehouse.sql("select channel, alert, reference, problem from MONITORING.NOTIFICATIONS order by rowid")
    assert found == [(text, text, text, text) for text in hostile]
