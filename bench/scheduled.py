"""CPU seconds of a scheduled run, by part: with `serve`, which stays alive, and with a worker that starts a Python.

On a stream without records, under a Prefect server of its own. Reads /proc: Linux only.
"""

import time
from collections import defaultdict
from datetime import UTC, datetime
from os import sysconf
from pathlib import Path

from tests.python.orchestration.stage import Stage, until

RUNS = 3
Parts = dict[str, float]
Seen = dict[tuple[int, str], tuple[str, float]]


def measure_scheduled_runs(directory: Path) -> dict[str, Parts]:
    """By who runs them, CPU seconds of a run by part; `seconds`: how long Prefect says that it took."""
    found = {}
    for name, minutes in (("serve", 0.5), ("worker", 1)):
        stage = Stage(directory / name, minutes)
        try:
            stage.start_server()
            began = datetime.now(UTC)
            if name == "serve":
                process = stage.serve()
            else:
                stage.deploy()
                process = stage.start_worker()
            # The first one makes the tables.
            begun = datetime.fromisoformat(until("a tick", lambda s=stage, b=began: s.finished(b), 300)["start_time"])
            seen: Seen = {}
            _look(process.pid, seen)
            before, seconds, runs = _sums(seen), 0.0, 0
            while runs < RUNS:
                for _ in range(10):
                    _look(process.pid, seen)
                    time.sleep(0.1)
                if run := stage.finished(begun):
                    begun, runs = datetime.fromisoformat(run["start_time"]), runs + 1
                    seconds += run["total_run_time"]
            time.sleep(2)
            _look(process.pid, seen)
            after = _sums(seen)
            parts = {part: (after[part] - before.get(part, 0)) / RUNS for part in after}
            found[name] = {"cpu": sum(parts.values())} | parts | {"seconds": seconds / RUNS}
        finally:
            stage.close()
    return found


def _look(root: int, seen: Seen) -> None:
    """Notes the CPU seconds of the process and its descendants. A process that has ended keeps its last figure."""
    ours = {pid for pid, _ in seen} | {root}
    for path in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            command = (path / "cmdline").read_text()
            parent = Path(f"/proc/{fields[1]}/cmdline").read_text()
        except OSError:
            continue
        pid, key = int(path.name), (int(path.name), fields[19])
        if not (key in seen or int(fields[1]) in ours or pid == root):
            continue
        ours.add(pid)
        part = "Prefect and the flow"
        if "orchestration.warm" in command:
            part = "dbt" if "orchestration.warm" in parent else "loading dbt and the project"
        # One that has just ended has no command any more.
        part = seen[key][0] if key in seen else part
        seen[key] = part, (int(fields[11]) + int(fields[12])) / sysconf("SC_CLK_TCK")


def _sums(seen: Seen) -> Parts:
    sums: Parts = defaultdict(float)
    for part, seconds in seen.values():
        sums[part] += seconds
    return dict(sums)
