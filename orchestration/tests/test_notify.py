"""Delivery from the flow to the receiver: what is told, and what a receiver that is down or a killed process costs."""

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from orchestration import notify
from orchestration.__main__ import app
from orchestration.health import show_alerts
from orchestration.notify import DeliveryError
from orchestration.runner import DbtError, Outcome
from orchestration.tests.conftest import PROJECT_DIR, Receiver, Warehouse

T1, T2, T3, T4, T5 = (f"2026-03-02T12:{minute}:00Z" for minute in (12, 17, 22, 27, 32))
# Of ticks without a transform: before that is late.
SOON = [f"2026-03-02T12:{minute}:00Z" for minute in (12, 13, 14)]
KILLS = int(os.environ.get("STREAMING_OPS_KILLS", "0"))


def test_an_alert_is_told_once_and_that_it_is_over_within_two_ticks(warehouse: Warehouse, slack: Receiver) -> None:
    told = []
    for at, failed_task in ((T1, 1), (T2, 1), (T3, None), (T4, None), (T5, None)):
        warehouse.produce(at, **({"failed_task": failed_task} if failed_task else {}))
        warehouse.flows.streaming_tick.fn(at)
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
    for at in SOON:
        warehouse.produce(at, failed_task=1)
        slack.answers = [(404, "no_service", {})]
        with pytest.raises(DeliveryError):
            warehouse.flows.monitor_streaming.fn(at)
    slack.answers, slack.received[:] = [], []
    for at in ("2026-03-02T12:14:30Z", "2026-03-02T12:14:40Z"):
        warehouse.flows.monitor_streaming.fn(at)
    (sent,) = slack.received
    text = json.dumps(sent)
    assert "since 2026-03-02 12:12 UTC" in text
    assert "may have arrived" not in text
    assert warehouse.sql("select outcome, count(*) from MONITORING.NOTIFICATIONS group by 1 order by 1") == [
        ("accepted", 1),
        ("attempted", 4),
        ("refused", 3),
    ]


def test_a_connector_that_is_down_speaks_for_the_lag_that_it_causes(warehouse: Warehouse, slack: Receiver) -> None:
    warehouse.produce(T1, failed_task=1, stalled_partition=4)
    warehouse.flows.monitor_streaming.fn(T1)
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
    ("alert", "entity", "is_told"),
    [
        ("connector_*", None, False),
        (None, "*sink task 1", False),
        ("*", "*sink task 2", True),
        ("partition_*", None, True),
    ],
)
def test_a_silence_mutes_what_it_matches(
    warehouse: Warehouse, slack: Receiver, alert: str | None, entity: str | None, is_told: bool
) -> None:
    values = [f"'{text}'" if text else "null" for text in (alert, entity)]
    warehouse.sql(
        "insert into MONITORING.SILENCES (alert, entity, starts_at, ends_at) values "
        f"({', '.join(values)}, '2026-03-02 12:12', '2026-03-02 12:13')"
    )
    warehouse.produce(T1, failed_task=1)
    warehouse.flows.monitor_streaming.fn(T1)
    assert ("connector_not_running" in json.dumps(slack.received)) == is_told
    # Over is over.
    warehouse.produce(SOON[1], failed_task=1)
    warehouse.flows.monitor_streaming.fn(SOON[1])
    assert len(slack.received) == 1


def test_the_command_line_adds_a_silence_that_the_seed_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "seeds").mkdir()
    seed = tmp_path / "seeds" / "silences.csv"
    seed.write_text((PROJECT_DIR / "seeds" / "silences.csv").read_text())
    monkeypatch.setattr("orchestration.settings.PROJECT_DIR", tmp_path)
    arguments = ["silence", 'broker "upgrade", at night', "--hours", "1.5", "--alert", "partition_*", "--by", "me"]
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


_TICK = """
import os, signal, sys
from orchestration import flows, notify
step, seconds = sys.argv[1], float(sys.argv[2])
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
def after(name):
    run = getattr(notify, name)
    def both(*args, **more):
        result = run(*args, **more)
        result = list(result) if name == "send" else result
        die()
        return result
    setattr(notify, name, both)
dbt = flows.project()
dbt.run_operation("generate_stream", sys.argv[3], orders_per_day=12000, failed_task=1)
flows.step(flows.build, "tag:monitoring", sys.argv[3])
if step == "attempting": notify._record = die
elif step == "attempted": after("_record")
elif step == "sent": after("send")
elif step == "recorded":
    record, calls = notify._record, []
    def second(*args): record(*args); calls.append(1); len(calls) == 2 and die()
    notify._record = second
elif step == "clock":
    signal.signal(signal.SIGALRM, die); signal.setitimer(signal.ITIMER_REAL, seconds)
notify.deliver(dbt, sys.argv[3])
"""


def _tick(warehouse: Warehouse, step: str, at: str, seconds: float = 0) -> int:
    command = [sys.executable, "-c", _TICK, step, str(seconds), at]
    return subprocess.run(command, cwd=PROJECT_DIR, env=dict(os.environ), check=False, timeout=120).returncode


MOMENTS = [("attempting", 0), ("attempted", 0), ("sent", 0), ("recorded", 0)]
MOMENTS += [("clock", random.Random(n).uniform(0, 1.5)) for n in range(KILLS)]


@pytest.mark.parametrize(("step", "seconds"), MOMENTS)
def test_a_process_killed_at_any_step_loses_nothing_and_repeats_only_what_it_says_it_repeats(
    warehouse: Warehouse, slack: Receiver, step: str, seconds: float
) -> None:
    assert _tick(warehouse, step, SOON[0], seconds) in (-signal.SIGKILL, 0)
    for at in SOON[1:]:
        assert _tick(warehouse, "none", at) == 0
    repeats = ["may have arrived" in json.dumps(sent) for sent in slack.received]
    expected = {"attempting": [[False]], "attempted": [[True]], "sent": [[False, True]], "recorded": [[False]]}
    # At a random moment any of these.
    assert repeats in expected.get(step, [[False], [True], [False, True]])


def test_a_fault_is_told_once_then_after_hours_and_when_it_is_over(warehouse: Warehouse, slack: Receiver) -> None:
    broken = [Outcome("dbt", "run", "error", "IO Error: <!channel> no such warehouse")]
    for at in ("12:00", "12:05", "15:55", "16:05", "16:10"):
        assert notify.tell_faults("monitor-streaming", f"2026-03-02T{at}:00Z", broken) == []
    assert len(slack.received) == 2
    text = json.dumps(slack.received[0])
    assert "no such warehouse" in text and "<!channel>" not in text
    for at in ("16:15", "16:20"):
        assert notify.tell_faults("monitor-streaming", f"2026-03-02T{at}:00Z", []) == []
    assert len(slack.received) == 3
    assert "esolved" in json.dumps(slack.received[2])


def test_a_fault_that_no_receiver_took_is_told_again(warehouse: Warehouse, slack: Receiver) -> None:
    broken = [Outcome("dbt", "run", "error", "gone")]
    slack.answers = [(404, "no_service", {})]
    assert "make a new one" in "".join(notify.tell_faults("monitor-streaming", T1, broken))
    assert notify.tell_faults("monitor-streaming", T2, broken) == []
    assert len(slack.received) == 2


def test_a_monitor_without_its_tables_is_told_by_the_process_itself(warehouse: Warehouse, slack: Receiver) -> None:
    warehouse.produce(T1, failed_task=1)
    warehouse.sql("drop view MONITORING.ALERT_HISTORY", "drop table MONITORING.NOTIFICATIONS")
    with pytest.raises(DbtError, match=r"(?i)notifications"):
        warehouse.flows.monitor_streaming.fn(T1)
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
        {"receiver": "slack", "alert": text, "opened_at": "2026-03-02 12:00:00", "kind": "firing", "level": 2}
        | {"outcome": "refused", "reference": text, "problem": text}
        for text in hostile
    ]
    warehouse.dbt.run_operation("record_notifications", T1, rows=rows)
    found = warehouse.sql("select alert, reference, problem from MONITORING.NOTIFICATIONS order by rowid")
    assert found == [(text, text, text) for text in hostile]
