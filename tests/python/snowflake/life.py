"""One life of the stream on whichever target the environment says, for the tests to compare: prints, as JSON, how every
node of every run ended.

`python -m tests.python.snowflake.life short` or `long`. Landed are generated records (in the long life some 140
thousand), and by hand those that generated streams lack.
"""

import io
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
from rich.console import Console

from orchestration import runs, steps
from orchestration.health import show_alerts, show_health
from orchestration.runner import Dbt, DbtError
from tests.python.snowflake.emulator import connect
from tests.python.warehouse import T0, T0_MS

T1, T2, T3, T4 = (f"2026-03-02T12:{minute:02}:00Z" for minute in (5, 10, 25, 30))
T5, T6 = "2026-03-03T01:32:00Z", "2026-03-03T01:35:00Z"


def odd_records(at_ms: int) -> list[tuple[dict[str, Any] | None, Any]]:
    """Late, duplicate, out of order, tombstones, malformed, without metadata: landed about `at_ms`."""

    def record(number: int, content: Any, **metadata: Any) -> tuple[dict[str, Any], Any]:
        known = {"topic": "orders", "partition": 9, "offset": number, "CreateTime": at_ms - 500 + number}
        known |= {"SnowflakeConnectorPushTime": at_ms + number}
        return {name: value for name, value in (known | metadata).items() if value != "absent"}, content

    def event(number: int, **content: Any) -> dict[str, Any]:
        known = {"event_id": f"x{number}", "event_type": "order_paid", "event_ts": "2026-03-02T11:00:00Z"}
        known |= {"order_id": f"X{number % 3}", "customer_id": "C1", "amount": 12.5, "currency": "EUR"}
        return {name: value for name, value in (known | content).items() if value != "absent"}

    hour = 3_600_000
    rows = [
        record(1, event(1)),
        record(2, event(2, event_ts="2026-02-20T10:00:00+02:00")),
        record(3, event(3), SnowflakeConnectorPushTime=at_ms - hour // 2),
        record(3, event(3)),
        record(1, event(1)),
        record(4, None),
        record(5, {}),
        record(6, event(6, order_id="absent")),
        record(7, event(7, event_type=None)),
        record(8, event(8, event_ts="yesterday")),
        record(9, event(9, amount="12,50")),
        record(10, event(10, amount="13.75")),
        record(11, event(11, amount=None, currency=None)),
        record(12, event(12, amount=[1])),
        record(13, event(13, currency="XAU", gift_wrap=True, coupon="a'b\\c")),
        record(14, event(14, event_type="order_teleported")),
        record(15, event(15, event_ts="2099-01-01T00:00:00Z")),
        record(16, event(16), CreateTime="absent", LogAppendTime=at_ms),
        record(17, event(17), CreateTime="absent"),
        record(18, event(18), SnowflakeConnectorPushTime="absent"),
        record(19, event(19), SnowflakeConnectorPushTime="absent", CreateTime="absent"),
        record(20, event(20), topic="absent", partition="absent", offset="absent"),
        record(21, event(21), SnowflakeConnectorPushTime=at_ms + 400 * 24 * hour),
        record(22, event(22), SnowflakeConnectorPushTime=at_ms * 1_000_000),
        record(23, event(23), CreateTime=at_ms + 48 * hour),
        record(24, event(24, amount=0.1 + at_ms % 7)),
        record(25, event(25, amount=1e3)),
        record(26, event(26, amount=True)),
        record(27, event(27, customer_id=17, order_id="Ärger/🦆")),
        record(28, [1, 2]),
        record(29, "text"),
        (None, event(30)),
        (None, None),
        record(1, event(31), CreateTime=at_ms + 10, partition=0, topic="refunds"),
        record(32, event(32, event_ts="2026-03-02T10:59:59.123456789Z")),
    ]
    return rows


def land(rows: list[tuple[Any, Any]]) -> None:
    texts = [tuple(None if part is None else json.dumps(part) for part in row) for row in rows]
    if os.environ["DBT_TARGET"] == "snowflake":
        with connect(int(os.environ["SNOWFLAKE_PORT"])) as connection:
            for row in texts:
                connection.cursor().execute(
                    "insert into STREAMING.ORDER_EVENTS select parse_json(%s), parse_json(%s)", row
                )
    else:
        # A process attaches a file once.
        steps.dbt().close()
        with duckdb.connect(os.environ["STREAMING_OPS_DUCKDB_PATH"]) as connection:
            for row in texts:
                connection.execute("insert into STREAMING.ORDER_EVENTS select ?::json::variant, ?::json::variant", row)


def land_snapshots(dbt: Dbt, as_of: str, number: int) -> None:
    """What the collectors bring, and macros land: a healthy partition, a reset group, a topic made anew, a lag without
    offsets, and texts that want escaping."""
    partition = {"consumer_group": "o'g", "topic": "refunds", "log_start_offset": 3}
    offsets = [
        partition | {"partition": 0, "log_end_offset": 100 * number, "committed_offset": 100 * number},
        partition | {"partition": 1, "log_end_offset": 100 * number, "committed_offset": [50, 150, 20][number - 1]},
        partition | {"partition": 2, "log_end_offset": [500, 600, 4][number - 1], "committed_offset": None},
        partition | {"partition": 3, "log_start_offset": None, "consumer_lag_offsets": 7 * number},
        partition | {"partition": 4, "log_start_offset": 100 * number - 1, "log_end_offset": 100 * number},
    ]
    text = "it's \\ {{ 1 / 0 }} '); drop table x; --\n<!channel> \U0001f986"
    states = [("o'sink", None, "RUNNING"), ("o'sink", 0, ["RUNNING", "UNASSIGNED", "UNASSIGNED"][number - 1])]
    status = [
        {"connector": name, "task_id": task, "state": state, "worker_id": "w\\1", "trace": text, "tasks_max": 2}
        for name, task, state in states
    ]
    runs = [{"collector": "kafka_offsets", "row_count": 5, "error": text if number > 1 else None}]
    for table, rows in (("kafka_offsets", offsets), ("connector_status", status), ("collector_runs", runs)):
        dbt.run_operation("land_snapshot", as_of, table=table, rows=rows)


def record_statements() -> set[str]:
    """Every statement that is sent to Snowflake from here on."""
    from snowflake.connector.cursor import SnowflakeCursor

    sent, execute = set(), SnowflakeCursor.execute

    def recorded(self: Any, command: str, *args: Any, **kwargs: Any) -> Any:
        sent.add(command)
        return execute(self, command, *args, **kwargs)

    SnowflakeCursor.execute = recorded
    return sent


class Stream:
    """What arrives, what runs, and how each node of every run ended."""

    def __init__(self) -> None:
        self.sent = record_statements()
        self.dbt = steps.project()
        self.dbt._variables |= {"allow_generated_events": True}
        self.ended: dict[str, Any] = {}

    def arrive(self, until: str, records: Iterable[Any] = (), **options: Any) -> None:
        """Invented orders, and these records: what is sent for that is for laptops and tests, and not recorded."""
        known = set(self.sent)
        land(list(records))
        if until:
            self.dbt.run_operation("generate_stream", until, **({"orders_per_day": 12_000} | options))
        self.sent.intersection_update(known)

    def build(self, name: str, select: str, as_of: str, *options: str, **variables: Any) -> None:
        self.ended[name] = {
            outcome.name: (outcome.status, outcome.message)
            for outcome in self.dbt.build(select, as_of, *options, **variables)
        }

    def flow(self, name: str, run: Any, as_of: str) -> None:
        """As `serve` runs it, but for Prefect: what is posted goes to the webhook of the environment."""
        try:
            run(as_of)
            self.ended[name] = "completed"
        except DbtError as error:
            self.ended[name] = str(error)


def short_life(stream: Stream) -> str:
    """A load, a tick and a night over all that can arrive; returns their last moment."""
    stream.arrive(T0, odd_records(T0_MS - 330_000), history_days=1, orders_per_day=300)
    stream.flow("transform", runs.transform, T0)
    for number, at in enumerate((T0, T1, T2), 1):
        land_snapshots(stream.dbt, at, number)
    stream.arrive("", odd_records(T0_MS - 330_000)[:9] + odd_records(T0_MS + 330_000))
    stream.flow("tick", runs.tick, T2)
    stream.flow("nightly", runs.nightly, T5)
    return T5


def long_life(stream: Stream) -> str:
    """Loads in pieces, a late batch and its backfill, faults, a night and a full refresh; returns their last moment."""
    stream.arrive(T0, history_days=3)
    land_snapshots(stream.dbt, T0, 1)
    stream.build("first transform", "tag:streaming", T0)
    stream.build("first monitor", "tag:monitoring", T0)
    stream.arrive(T1, odd_records(T0_MS + 60_000))
    land_snapshots(stream.dbt, T1, 2)
    stream.build("second transform", "tag:streaming", T1)
    stream.build("second monitor", "tag:monitoring", T1)
    stream.arrive("", odd_records(T0_MS + 60_000)[:9] + odd_records(T0_MS + 330_000))
    stream.build("third transform", "tag:streaming", T2)
    stream.build("third monitor", "tag:monitoring", T2)
    # A partition was down for five hours: no run finds its records, the completeness does, and a backfill loads them.
    stream.arrive("", odd_records(T0_MS - 5 * 3_600_000))
    options = ("--exclude-resource-type", "test")
    stream.build("monitor after a late batch", "record_completeness+", T2, *options, nightly=True)
    stream.ended["backfill"] = list(steps.backfill("2026-03-02T06:00:00Z", "2026-03-02T08:00:00Z", T2))
    assert sum(day["records"] for day in stream.ended["backfill"]) > 0
    stream.arrive(T3, failed_task=1, stalled_partition=4)
    land_snapshots(stream.dbt, T3, 3)
    stream.flow("tick with two faults", runs.tick, T3)
    stream.flow("idle tick", runs.tick, T4)
    stream.flow("nightly", runs.nightly, T5)
    stream.build("full refresh", "tag:streaming", T6, "--full-refresh")
    stream.flow("tick after it", runs.tick, T6)
    return T6


def main() -> None:
    stream = Stream()
    last = {"short": short_life, "long": long_life}[sys.argv[1]](stream)
    for show in (show_health, show_alerts):
        with io.StringIO() as file:
            show(stream.dbt, last, Console(width=240, file=file))
            stream.ended[show.__name__] = file.getvalue()
    (Path(os.environ["DBT_LOG_PATH"]) / "sent.json").write_text(json.dumps(sorted(stream.sent)))
    print("ENDED " + json.dumps(stream.ended, default=str))


if __name__ == "__main__":
    main()
