"""What a tick sends to Snowflake: counted on the emulator of the tests, each tick in a process of its own, as `serve`
starts them."""

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.python.snowflake import emulator

# In this order: what a statement is counted as. What no pattern tells is a query.
KINDS = {
    "logins": "login$",
    "without a warehouse": "show |describe |alter session|drop |create or replace +(temporary )?view|select system\\$",
    "transactions": "begin|commit|rollback",
    "tables made": "create |truncate ",
    "rows deleted or inserted": "insert |delete |merge ",
}
TICKS = {"first": "12:00", "busy": "12:05", "busy again": "12:10", "idle": "12:15", "idle again": "12:20"}


def count_tick(as_of: str, new_orders: bool) -> dict[str, int]:
    """Runs in a process of its own: lands orders, if it shall, and then ticks."""
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor

    from orchestration import collectors, notify, runs, steps

    sent: list[str] = []
    execute, connect = SnowflakeCursor.execute, SnowflakeConnection.connect

    def counted_execute(self: Any, command: str, *args: Any, **kwargs: Any) -> Any:
        sent.append(command)
        return execute(self, command, *args, **kwargs)

    def counted_connect(self: Any, **kwargs: Any) -> Any:
        sent.append("login")
        return connect(self, **kwargs)

    collectors.collect, notify.configured = lambda *_: [], lambda _: []
    with (
        patch.object(SnowflakeCursor, "execute", counted_execute),
        patch.object(SnowflakeConnection, "connect", counted_connect),
    ):
        dbt = steps.project()
        if new_orders:
            dbt._variables |= {"allow_generated_events": True}
            started = len(sent)
            dbt.run_operation("generate_stream", as_of, history_days=1, orders_per_day=2000)
            del sent[started:]
        runs.monitor(as_of)
        runs.transform(as_of)
    return Counter({"statements": len(sent)}) + Counter(kind(command) for command in sent)


def kind(command: str) -> str:
    text = re.sub(r"/\*.*?\*/|--[^\n]*", "", command, flags=re.DOTALL).strip().lower()
    return next((name for name, pattern in KINDS.items() if re.match(pattern, text)), "queries")


def count_statements(process: Any, directory: Path) -> dict[str, dict[str, int]]:
    """By tick the number of statements of each kind."""
    server, port = emulator.start(directory)
    places = {"DBT_TARGET_PATH": str(directory / "target"), "DBT_LOG_PATH": str(directory / "logs")}
    before = dict(os.environ)
    os.environ |= emulator.environment(directory, port) | places
    try:
        counts = {}
        for name, minute in TICKS.items():
            with process() as fresh:
                arguments = (f"2026-03-02T{minute}:00Z", not name.startswith("idle"))
                counts[name] = dict(fresh.submit(count_tick, *arguments).result())
        return counts
    finally:
        os.environ.clear()
        os.environ.update(before)
        server.kill()
