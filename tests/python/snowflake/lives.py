"""Lives of the stream on both targets, in a process each."""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.python.snowflake import emulator
from tests.python.warehouse import PROJECT_DIR
from tests.python.web import Receiver

# Each alert's last measurements are stored, healthy or not: messages are made of them.
ALERTS = sorted(re.findall(r"\{% docs (\w+) %\}", (PROJECT_DIR / "models/monitoring/watch/alerts.md").read_text()))
MODELS = sorted(path.stem for path in [*PROJECT_DIR.glob("models/**/*.sql"), *PROJECT_DIR.glob("seeds/*.csv")])


@dataclass
class Life:
    """How one target lived: how each node of each run ended, and what Slack was sent."""

    directory: Path
    environment: dict[str, str]
    ended: dict[str, Any] = field(default_factory=dict)
    posted: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.environment |= {
            "DBT_TARGET_PATH": str(self.directory / "target"),
            "DBT_LOG_PATH": str(self.directory / "logs"),
        }

    def run(self, *command: str) -> str:
        """Runs it in a process of its own; its output."""
        ended = subprocess.run(
            command, cwd=PROJECT_DIR, env=os.environ | self.environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-5000:]
        return ended.stdout

    def live(self, length: str) -> None:
        receiver = Receiver()
        self.environment["SLACK_WEBHOOK_URL"] = receiver.url
        told = self.run(sys.executable, "-W", "ignore", "-m", "tests.python.snowflake.life", length)
        (self.directory / "posted.json").write_text(json.dumps(receiver.received, indent=1))
        self.ended, self.posted = json.loads(told.rsplit("ENDED ", 1)[1]), receiver.received


@dataclass
class Lives:
    here: Life
    there: Life
    port: int  # of the Snowflake on loopback
    length: str


def live(folder: Path, port: int, length: str) -> Lives:
    """A life, short or long, on DuckDB and on the Snowflake at `port`, at the same time."""
    local, remote = folder / "local", folder / "remote"
    for directory in (local, remote):
        directory.mkdir()
    here = Life(local, {"DBT_TARGET": "local", "STREAMING_OPS_DUCKDB_PATH": str(local / "warehouse.duckdb")})
    there = Life(remote, emulator.environment(remote, port))
    with ThreadPoolExecutor() as pool:
        for life in [pool.submit(here.live, length), pool.submit(there.live, length)]:
            life.result()
    return Lives(here, there, port, length)
