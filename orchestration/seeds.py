"""What is wrong with the files that people edit: the seeds, and the variables in dbt_project.yml.

A malformed cell disables its row in the warehouse (macros/landing/seed.sql) and stops nothing. It is named here, with
file and line. This needs neither dbt nor the warehouse.
"""

import contextlib
import csv
import difflib
import io
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from orchestration.outcomes import Outcome
from orchestration.settings import parse_instant

_LONGEST = timedelta(days=31)
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_WRITE_TIME = "write it as 2026-03-02 14:00 (UTC) or, with an offset, as 2026-03-02T14:00:00+02:00"
_VARIABLE = re.compile(r"""\{\{\s*var\(\s*['"](\w+)['"].*\)\s*\}\}""")
_READ = re.compile(r"""\bvar\(\s*['"](\w+)""")
_PROJECT, _DESCRIBED = "dbt_project.yml", "seeds/_seeds.yml"
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_LEVELS = ("warn", "error")
_SHOWN = 60
# By seed the columns that no row can do without, and those that no two rows may have alike.
_NEEDED = {
    "expected_topics": ("topic", "partitions", "consumer_group"),
    "expected_connectors": ("connector",),
    "currencies": ("currency", "name", "minor_units"),
    "customers": ("customer_id", "segment", "country"),
    "silences": ("starts_at", "ends_at"),
    "alert_routes": ("receiver",),
}
_UNIQUE = {
    "expected_topics": ("topic", "consumer_group"),
    "expected_connectors": ("connector",),
    "currencies": ("currency",),
    "customers": ("customer_id",),
}
_POSITIVE = ("partitions", "tasks")


@dataclass(frozen=True)
class Finding:
    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file} line {self.line}: {self.text}"

    @property
    def outcome(self) -> Outcome:
        """For the receivers."""
        return Outcome(f"{self.file} line {self.line}", "seed", "finding", self.text)


@dataclass(frozen=True)
class Alert:
    """What the parsed project has of an alert."""

    name: str
    owner: str
    tags: Collection[str]
    file: str
    arguments: dict[str, Any]


class Row(NamedTuple):
    line: int
    cells: dict[str, str]


class _Seed:
    """A seed as the warehouse takes it; `findings` has what is wrong with its form."""

    def __init__(self, project_dir: Path, name: str) -> None:
        self.file = f"seeds/{name}.csv"
        self.findings: list[Finding] = []
        self.rows: list[Row] = []
        self.types = _column_types(project_dir)[name]
        try:
            self._read((project_dir / self.file).read_bytes().decode("utf-8-sig"))
        except OSError as error:
            self.disable(1, f"cannot be read: {error.strerror}")
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            self.disable(line, "a character is not UTF-8: save the file as CSV in UTF-8")
        except csv.Error as error:
            self.disable(1, f"is no CSV: {error}")
        self._judge_cells()
        self._judge_keys(name)

    def note(self, line: int, text: str) -> None:
        self.findings.append(Finding(self.file, line, text))

    def disable(self, line: int, text: str) -> None:
        """A mistake that dbt cannot read past."""
        self.note(line, f"{text}; nothing of this file is loaded until then")

    def _read(self, text: str) -> None:
        reader = csv.reader(io.StringIO(text, newline=""))
        header = [name.strip().lower() for name in next(reader, [])]
        if not any(header):
            self.disable(1, f"has no header: write {','.join(self.types)}")
            return
        if len(header) == 1 and (signs := [name for sign, name in _SEPARATORS.items() if sign in header[0]]):
            self.disable(1, f"its columns are separated by {signs[0]}: save it as CSV with commas")
            return
        wrong = [f"column {name} is missing" for name in self.types if name not in header]
        for place, name in enumerate(header):
            if name not in self.types:
                wrong.append(f"column {_shown(name)} is unknown" if name else f"column {place + 1} has no name")
            elif name in header[:place]:
                wrong.append(f"column {name} is there twice")
        if wrong:
            self.disable(1, ", ".join(wrong))
            return
        line = reader.line_num
        for cells in reader:
            first, line = line + 1, reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                text = f"has {len(cells)} cells, the header has {len(header)}: "
                if len(cells) > len(header):
                    self.disable(first, f'{text}put "..." around a text with a comma')
                else:
                    self.note(first, f"{text}add the commas")
            # dbt takes "null" for an empty cell, too.
            values = ["" if cell.lower() == "null" else cell for cell in map(str.strip, cells)]
            values += [""] * (len(header) - len(values))
            self.rows.append(Row(first, dict(zip(header, values, strict=False))))

    def _judge_cells(self) -> None:
        for line, cells in self.rows:
            for name, value in cells.items():
                least = 1 if name in _POSITIVE else 0
                is_number = re.fullmatch(r"[0-9]{1,9}", value) and int(value) >= least
                if value and self.types[name] == "integer" and not is_number:
                    self.note(line, f"{name} is {_shown(value)}: write a whole number{' from 1 on' if least else ''}")
                if value and self.types[name] == "datetime" and _instant(value) is None:
                    self.note(line, f"{name} is {_shown(value)}, and the row has no effect: {_WRITE_TIME}")

    def _judge_keys(self, name: str) -> None:
        seen: dict[tuple[str, ...], int] = {}
        for line, cells in self.rows:
            for column in _NEEDED.get(name, ()):
                if not cells[column]:
                    self.note(line, f"{column} is empty")
            if key := tuple(cells[column] for column in _UNIQUE.get(name, ())):
                if key in seen:
                    self.note(line, f"{' '.join(key)} is in line {seen[key]} already")
                seen.setdefault(key, line)


def rows(project_dir: Path, name: str) -> list[dict[str, str]]:
    """The rows of a seed, as text, without those that have a finding; none where the columns are not known."""
    found: list[dict[str, str]] = []
    with _noted([], _DESCRIBED):
        seed = _Seed(project_dir, name)
        malformed = {finding.line for finding in seed.findings}
        found = [row.cells for row in seed.rows if row.line not in malformed]
    return found


def add_row(project_dir: Path, name: str, cells: dict[str, str]) -> None:
    """Appends a row to a seed, in the order of its header."""
    file = project_dir / "seeds" / f"{name}.csv"
    text = file.read_bytes().decode("utf-8-sig")
    header = [column.strip().lower() for column in next(csv.reader(io.StringIO(text, newline="")), [])]
    row = io.StringIO()
    csv.writer(row, lineterminator="\n").writerow([cells.get(column, "") for column in header])
    # Not every editor ends the last line.
    with file.open("a", encoding="utf-8", newline="") as end:
        end.write(row.getvalue() if text.endswith("\n") else f"\n{row.getvalue()}")


def findings(project_dir: Path, receivers: Collection[str], alerts: Collection[Alert] | None) -> list[Finding]:
    """All that is wrong, by file and line. `alerts` is None where the project cannot be parsed."""
    found: list[Finding] = []
    with _noted(found, _DESCRIBED):
        seeds = {name: _Seed(project_dir, name) for name in _column_types(project_dir)}
        found += [finding for seed in seeds.values() for finding in seed.findings]
        found += _topics(seeds["expected_topics"], seeds["expected_connectors"])
        found += _routes(seeds["alert_routes"], receivers, alerts)
        found += _silences(seeds["silences"], alerts)
    with _noted(found, _PROJECT):
        project = _loaded(project_dir / _PROJECT)
        found += _limits(project_dir, project["vars"], alerts or [])
        found += _variables(project_dir, {*project["vars"]} - {project["name"]})
    return sorted(found, key=lambda finding: (finding.file, finding.line))


@contextlib.contextmanager
def _noted(found: list[Finding], file: str) -> Iterator[None]:
    """A YAML file that is not as the project needs it is a finding."""
    line = 1
    try:
        yield
        return
    except OSError as error:
        text = f"cannot be read: {error.strerror}"
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        text = f"is no YAML: {str(getattr(error, 'problem', None) or error).splitlines()[0]}"
    except KeyError as error:
        text = f"lacks {error}"
    except (AttributeError, TypeError) as error:
        text = f"has a value where a mapping or a list belongs, or none: {error}"
    found.append(Finding(file, line, text))


def _topics(topics: _Seed, connectors: _Seed) -> Iterator[Finding]:
    known = {cells["connector"] for _, cells in connectors.rows}
    for line, cells in topics.rows:
        if (name := cells["connector"]) and name not in known:
            text = f"connector {_shown(name)} is not in {connectors.file}{_meant(name, known)}"
            yield Finding(topics.file, line, text)


def _routes(routes: _Seed, receivers: Collection[str], alerts: Collection[Alert] | None) -> Iterator[Finding]:
    known = {"receiver": set(receivers), "severity": set(_LEVELS)}
    if alerts is not None:
        known["owner"] = {alert.owner for alert in alerts}
        known["tag"] = {tag for alert in alerts for tag in alert.tags}
    for line, cells in routes.rows:
        for column, names in known.items():
            if (name := cells[column]) and name not in names:
                problem = f"no alert has the {column}" if column in ("owner", "tag") else f"there is no {column}"
                yield Finding(routes.file, line, f"{problem} {_shown(name)}{_meant(name, names)}")
    if not any(cells["receiver"] in receivers for _, cells in routes.rows):
        yield Finding(routes.file, 1, "no route leads to a receiver, and no alert is sent: add a row such as slack,,,,")


def _silences(silences: _Seed, alerts: Collection[Alert] | None) -> Iterator[Finding]:
    names = [alert.name for alert in alerts or []]
    for line, cells in silences.rows:
        pattern = cells["alert"] or "*"
        muted = [name for name in names if matches(pattern, name)]
        if names and not muted:
            text = f"no alert has the name {_shown(pattern)}: this silence mutes nothing{_meant(pattern, names)}"
            yield Finding(silences.file, line, text)
        start, end = _instant(cells["starts_at"]), _instant(cells["ends_at"])
        if not start or not end:
            continue
        if end <= start:
            yield Finding(silences.file, line, "ends_at is not after starts_at: the silence mutes nothing")
        is_all = not pattern.strip("*") or (names and muted == names)
        if is_all and not cells["entity"].strip("*") and end - start > _LONGEST:
            text = f"it mutes every alert for more than {_LONGEST.days} days: name alerts, or let it end earlier"
            yield Finding(silences.file, line, text)


def _limits(project_dir: Path, variables: dict[str, Any], alerts: Iterable[Alert]) -> Iterator[Finding]:
    """A limit of a warning that lies beyond that of the error."""
    for alert in alerts:
        for way, sign in (("above", 1), ("below", -1)):
            given = [str(alert.arguments.get(f"{level}_{way}")) for level in _LEVELS]
            names = [found[1] if (found := _VARIABLE.fullmatch(limit)) else None for limit in given]
            limits = [variables.get(name) if name else limit for name, limit in zip(names, given, strict=True)]
            try:
                warn, error = map(float, limits)
            except (TypeError, ValueError):
                continue
            if sign * warn > sign * error:
                file, key = (_PROJECT, f"  {names[0]}:") if names[0] else (alert.file, f"name: {alert.name}")
                shown = [
                    f"{name or level} ({limit})" for level, name, limit in zip(_LEVELS, names, limits, strict=True)
                ]
                line = _line(project_dir / file, key)
                yield Finding(file, line, f"{shown[0]} is {way} {shown[1]}: {alert.name} never warns")


def _variables(project_dir: Path, names: set[str]) -> Iterator[Finding]:
    """A variable that nothing reads: dbt would say nothing, or name only the one that is missing."""
    files = [project_dir / _PROJECT, *project_dir.glob("profiles*.yml")]
    for folder in ("models", "macros", "tests"):
        files += [file for file in (project_dir / folder).rglob("*.*") if file.suffix in (".sql", ".yml")]
    read = {*_READ.findall(b"\n".join(map(Path.read_bytes, files)).decode(errors="replace"))}
    for name in sorted(names - read):
        line = _line(project_dir / _PROJECT, f"  {name}:")
        yield Finding(_PROJECT, line, f"nothing reads the variable {_shown(name)}{_meant(name, read - names)}")


def _line(file: Path, key: str) -> int:
    lines = file.read_text(encoding="utf-8").splitlines()
    return next((number for number, text in enumerate(lines, 1) if key in text), 1)


def _column_types(project_dir: Path) -> dict[str, dict[str, str]]:
    """By seed, name and type of each column, as dbt has them."""
    described = _loaded(project_dir / _DESCRIBED)["seeds"]
    return {seed["name"]: seed["config"]["column_types"] for seed in described}


def _loaded(file: Path) -> Any:
    return yaml.safe_load(file.read_bytes())


def _instant(text: str) -> datetime | None:
    """As the warehouse reads it."""
    with contextlib.suppress(ValueError):
        return parse_instant(text, "it") if _TIME.fullmatch(text) else None
    return None


def matches(pattern: str, name: str) -> bool:
    """Whether a silence's pattern, in which `*` is any text, matches."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def _meant(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, [other for other in known if other], 1)
    return f"; did you mean {close[0]!r}?" if close else ""
