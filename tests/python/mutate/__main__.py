"""Plants faults that a person could make, one at a time, in a copy of the work tree, and shows which test finds each.

faults.yml has them. `make mutate` runs the test that is known to find a fault; only if that passes, all of `make test`.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, STDOUT

import yaml

PROJECT_DIR = Path(__file__).resolve().parents[3]
# A failed test, as pytest and dbt name it at the end.
_FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/.+?)(?: - |$)|(?:Failure|Error) in \w+ (\w+)", re.MULTILINE)
_EVERYTHING = ["make", "test"]
_LONGEST_SECONDS = 3600


@dataclass(frozen=True)
class Fault:
    name: str
    file: str
    old: str
    new: str
    found_by: str  # `dbt <unit test>`, `pytest <folder> -k <expression>`, or a command such as `make unit`

    @property
    def command(self) -> list[str]:
        kind, *rest = shlex.split(self.found_by)
        return {"dbt": _dbt, "pytest": _pytest}.get(kind, lambda *words: [kind, *words])(*rest)


def _dbt(*tests: str) -> list[str]:
    return ["dbt", "--quiet", "test", "--select", *tests]


def _pytest(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", *arguments]


class Copy:
    """The work tree as it is, uncommitted changes included."""

    def __init__(self, folder: Path) -> None:
        self._tree, self._prepared = folder / "tree", folder / "prepared"
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.check_output(listed, cwd=PROJECT_DIR, text=True).split("\0"):
            if (PROJECT_DIR / name).is_file():
                (self._tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT_DIR / name, self._tree / name)
        (self._tree / ".venv").symlink_to(PROJECT_DIR / ".venv")
        shutil.copy(PROJECT_DIR / "profiles.example.yml", self._tree / "profiles.yml")
        self._environment = os.environ | {"PYTEST_ADDOPTS": "-x", "DBT_FAIL_FAST": "true"}

    def check(self, faults: list[Fault]) -> None:
        """Exits if a test fails without a fault: it finds none. Few commands: each sets up a warehouse of its own."""
        arguments: dict[str, list[list[str]]] = defaultdict(list)
        for fault in faults:
            kind, *rest = shlex.split(fault.found_by)
            arguments[kind if kind in ("dbt", "pytest") else fault.found_by].append(rest)
        if arguments.keys() & {"dbt", "make unit"}:
            self.run(["make", "unit"], check=True)
            # The parents of the models, for unit tests that run alone.
            (self._tree / "target" / "test").rename(self._prepared)
        for kind, rest in arguments.items():
            if kind == "dbt":
                self.run(_dbt(*{test for (test,) in rest}), check=True)
            elif kind == "pytest":
                expression = " or ".join(sorted({f"({words[-1]})" for words in rest}))
                self.run(_pytest(*sorted({words[0] for words in rest}), "-k", expression), check=True)
            elif kind != "make unit":
                self.run(shlex.split(kind), check=True)

    def run(self, command: list[str], check: bool = False) -> tuple[int, str]:
        environment = self._environment
        if command[0] == "dbt":
            warehouse = {"STREAMING_OPS_DUCKDB_PATH": str(self._prepared / "unit.duckdb")}
            environment = environment | warehouse | {"DBT_TARGET_PATH": str(self._prepared)}
        # A fault may let a test hang: its processes end with it.
        with subprocess.Popen(
            command, cwd=self._tree, env=environment, stdout=PIPE, stderr=STDOUT, text=True, start_new_session=True
        ) as started:
            try:
                said, _ = started.communicate(timeout=_LONGEST_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(started.pid, signal.SIGKILL)
                said, _ = started.communicate()
                started.returncode = 1
        if check and started.returncode:
            sys.exit(f"{said[-5000:]}\nWithout any fault this fails: {shlex.join(command)}")
        return started.returncode, said

    def plant(self, fault: Fault) -> None:
        file = self._tree / fault.file
        file.write_text(file.read_text("utf-8").replace(fault.old, fault.new), "utf-8")

    def restore(self, fault: Fault) -> None:
        shutil.copy2(PROJECT_DIR / fault.file, self._tree / fault.file)


def _faults() -> list[Fault]:
    """Of faults.yml, all, or those with FAULT in their name."""
    faults = [Fault(**fault) for fault in yaml.safe_load(Path(__file__).with_name("faults.yml").read_text("utf-8"))]
    if name := os.environ.get("FAULT"):
        faults = [fault for fault in faults if name in fault.name] or sys.exit(f"No fault has {name!r} in its name.")
    changed = [f"{fault.name}: {fault.file}" for fault in faults if _count(fault) != 1]
    if changed:
        sys.exit("\n".join(["The old text must occur exactly once. The code has changed:", *changed]))
    return faults


def _count(fault: Fault) -> int:
    file = PROJECT_DIR / fault.file
    return file.read_text("utf-8").count(fault.old) if file.exists() else 0


def _is_found(command: list[str], code: int) -> bool:
    """That pytest has no such test is no failure of one."""
    return code == 1 if "pytest" in command else code != 0


def _find(copy: Copy, fault: Fault, command: list[str]) -> bool:
    """Runs it with the fault, and prints a line of the table."""
    began = time.monotonic()
    copy.plant(fault)
    code, said = copy.run(command)
    copy.restore(fault)
    is_found = _is_found(command, code)
    by = next((a or b for a, b in _FAILED.findall(said)), shlex.join(command)) if is_found else ""
    status = "found" if is_found else "NOT FOUND"
    print(f"{fault.name:48} {status:9} {time.monotonic() - began:5.0f} s  {by}", flush=True)
    return is_found


def main() -> None:
    missed, is_all = _faults(), bool(os.environ.get("ALL"))
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        copy = Copy(Path(folder))
        if not is_all:
            copy.check(missed)
            missed = [fault for fault in missed if not _find(copy, fault, fault.command)]
        if missed:
            copy.run(_EVERYTHING, check=True)
            missed = [fault for fault in missed if not _find(copy, fault, _EVERYTHING)]
    sys.exit(f"No test finds {len(missed)} faults." if missed else 0)


if __name__ == "__main__":
    main()
