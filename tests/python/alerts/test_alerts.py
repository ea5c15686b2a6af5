"""The life of alerts, tick by tick: what the SQL says is due, against the rules of Prometheus and Alertmanager."""

import json
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

MIDNIGHT = datetime(2026, 3, 1)
TICK = timedelta(minutes=5)
# Name, and minutes: for, keep_firing_for, repeat_after.
SETTINGS = {
    "flaps": (0, 5, 240),
    "waits": (10, 5, 240),
    "escalates": (0, 5, 240),
    "connector": (0, 5, 240),
    "inhibited": (0, 5, 240),
    "maintained": (0, 5, 240),
    "impatient": (15, 0, 30),
    "patient": (0, 20, 60),
}
# alert -> its level, that of what nothing mutes, and the entities of that
Levels = dict[str, tuple[int, int, str]]
Told = tuple[str, str, str, str]  # receiver, alert, kind, severity
# alert, opened_at, receiver, kind, severity, may_have_arrived, last_seen_at
Due = tuple[str, datetime, str, str, str, bool, datetime]


class Life:
    """The views of the alerts over results that a test writes."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        rows = " union all ".join(
            f"select '{name}' as alert, {minutes[0] * 60 - 30} as for_seconds, {minutes[1] * 60 - 30} "
            f"as keep_firing_for_seconds, {minutes[2] * 60 - 30} as repeat_after_seconds, '' as owner, '' as channel, "
            "'' as runbook, '' as tags, '' as model"
            for name, minutes in SETTINGS.items()
        )
        for statement in (
            f"create or replace view MONITORING.ALERT_SETTINGS as {rows}",
            "delete from MONITORING.TEST_RESULTS",
            "delete from MONITORING.NOTIFICATIONS",
            "delete from MONITORING.ALERT_ROUTES",
            "insert into MONITORING.ALERT_ROUTES (receiver) values ('slack')",
        ):
            connection.execute(statement)

    def evaluate(self, at: datetime, levels: Levels) -> None:
        for alert, (level, open_level, entities) in levels.items():
            rows = [{"entity": name, "muted_by": None} for name in entities] + [{"entity": "z", "muted_by": "silence"}]
            self.connection.execute(
                "insert into MONITORING.TEST_RESULTS "
                "(run_at, node, level, row_count, open_level, open_count, failing_rows) "
                "values (?, ?, ?, ?, ?, ?, ?::json::variant)",
                [at, alert, level, len(rows), open_level, len(entities), json.dumps(rows) if level else None],
            )

    def due(self) -> list[Due]:
        return self.connection.execute(
            "select alert, opened_at, receiver, kind, severity, may_have_arrived, last_seen_at "
            "from MONITORING.PENDING_NOTIFICATIONS order by all"
        ).fetchall()

    def note(self, at: datetime, due: Due, outcome: str) -> None:
        alert, opened_at, receiver, kind, severity, _, last_seen_at = due
        self.connection.execute(
            "insert into MONITORING.NOTIFICATIONS (notified_at, receiver, alert, opened_at, kind, level, outcome, "
            "last_seen_at) values (?, ?, ?, ?, ?, ?, ?, ?)",
            [at, receiver, alert, opened_at, kind, 2 if severity == "error" else 1, outcome, last_seen_at],
        )

    def tick(self, at: datetime, levels: Levels) -> list[Told]:
        """Evaluates, and tells whom it is due; who is told accepts."""
        self.evaluate(at, levels)
        due = self.due()
        for notification in due:
            self.note(at, notification, "attempted")
            self.note(at, notification, "accepted")
        return [(receiver, alert, kind, severity) for alert, _, receiver, kind, severity, *_ in due]


@pytest.fixture
def life(base_warehouse: Path, tmp_path: Path) -> Iterator[Life]:
    file = tmp_path / "warehouse.duckdb"
    shutil.copy(base_warehouse, file)
    with duckdb.connect(file) as connection:
        yield Life(connection)


def _between(at: datetime, first: str, last: str) -> bool:
    return first <= f"{at:%H:%M}" <= last


def _day(at: datetime) -> Levels:
    """A day of it. Each pair of times is the first and the last bad evaluation."""
    flaps = _between(at, "02:00", "02:30") and at.minute % 10 == 0
    waits = _between(at, "03:00", "03:05") or _between(at, "04:00", "04:20")
    escalates = 2 if _between(at, "05:35", "10:20") else int(_between(at, "05:00", "05:30"))
    is_down = _between(at, "12:00", "13:55")
    # The connector's alert fires until 14:05, and so long inhibits.
    inhibited = 2 * _between(at, "12:10", "14:25")
    maintained = 2 if _between(at, "19:00", "20:30") else int(_between(at, "17:30", "18:55"))
    levels = {
        "flaps": (int(flaps), int(flaps)),
        "waits": (2 * int(waits), 2 * int(waits)),
        "escalates": (escalates, escalates),
        "connector": (2 * is_down, 2 * is_down),
        "inhibited": (inhibited, 0 if _between(at, "12:00", "14:00") else inhibited),
        "maintained": (maintained, 0 if _between(at, "18:00", "19:55") else maintained),
    }
    others = "b" * _between(at, "06:00", "06:20") + "c" * _between(at, "06:15", "06:20")
    return {
        alert: (*level, ("a" + others * (alert == "escalates")) * bool(level[1])) for alert, level in levels.items()
    }


# Of each tick that Alertmanager would send anything at: what, by its rules.
#   flaps       bad at 02:00, :10, :20, :30: a good run between is shorter than keep_firing_for
#   waits       at 03:00 and 03:05 not for its `for`; from 04:00 on it is, at 04:10
#   escalates   repeat_after counts from what was told last: also that another entity is bad, as in a group
#   inhibited   muted while the connector's alert fires, until 14:05; then it is news
#   maintained  silenced from 18:00 to 20:00, in which it became an error
DAY = """
02:00 flaps firing warn
02:40 flaps resolved warn
04:10 waits firing error
04:30 waits resolved error
05:00 escalates firing warn
05:35 escalates escalated error
06:00 escalates widened error
06:15 escalates widened error
10:15 escalates repeated error
10:30 escalates resolved error
12:00 connector firing error
14:05 connector resolved error
14:05 inhibited firing error
14:35 inhibited resolved error
17:30 maintained firing warn
20:00 maintained escalated error
20:40 maintained resolved error
"""


def test_a_day_tells_what_alertmanager_would_tell(life: Life) -> None:
    told = []
    for at in (MIDNIGHT + n * TICK for n in range(288)):
        told += [f"{at:%H:%M} {alert} {kind} {severity}" for _, alert, kind, severity in life.tick(at, _day(at))]
    assert told == DAY.split("\n")[1:-1]


@dataclass
class Episode:
    """What became of an alert from opening to resolution, and whom it was told."""

    is_firing: bool = False
    is_resolved: bool = False
    open_level: int = 0
    entities: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)
    told: tuple[str, int, datetime] | None = None
    is_tried: bool = False
    is_unsure: bool = False

    def due(self, now: datetime, repeat: timedelta, is_newest: bool) -> str | None:
        """As Alertmanager's notify.DedupStage; but it would not tell the end of what nobody had accepted."""
        if self.is_resolved:
            is_news = self.told[0] != "resolved" if self.told else self.is_unsure or (self.is_tried and is_newest)
            return "resolved" if is_news else None
        if not (self.is_firing and self.open_level):
            return None
        if self.told is None:
            return "firing"
        if self.open_level > self.told[1]:
            return "escalated"
        if self.entities - self.known:
            return "widened"
        return "repeated" if now - self.told[2] >= repeat else None

    def answer(self, kind: str, at: datetime, outcome: str) -> None:
        self.is_tried = True
        if outcome == "accepted":
            self.told, self.is_unsure = (kind, self.open_level, at), False
            self.known |= self.entities
        elif outcome == "killed":
            self.is_unsure = True


@dataclass
class Alertmanager:
    """One alert by the rules of Prometheus (rules/alerting.go), run by run."""

    minutes: tuple[int, int, int]
    active_at: datetime | None = None
    kept_since: datetime | None = None
    evaluated_at: datetime = MIDNIGHT
    episodes: list[Episode] = field(default_factory=list)

    def evaluate(self, at: datetime, level: int, open_level: int, entities: str) -> None:
        hold, keep = (timedelta(minutes=m) for m in self.minutes[:2])
        self.evaluated_at = at
        if level:
            if self.active_at is None:
                self.active_at = at
                self.episodes.append(Episode())
            episode = self.episodes[-1]
            self.kept_since, episode.open_level, episode.entities = None, open_level, set(entities)
            episode.is_firing = episode.is_firing or at - self.active_at >= hold
        elif self.active_at:
            self.kept_since = self.kept_since or at
            if not self.episodes[-1].is_firing:
                self.episodes.pop()
                self.active_at = self.kept_since = None
            elif at - self.kept_since >= keep:
                self.episodes[-1].is_resolved = True
                self.active_at = self.kept_since = None

    def due(self) -> list[tuple[Episode, str]]:
        repeat = timedelta(minutes=self.minutes[2])
        fired = [e for e in self.episodes if e.is_firing]
        return [(e, kind) for e in fired if (kind := e.due(self.evaluated_at, repeat, e is fired[-1]))]


# One with a receiver that works, and one with a receiver that does not; `make soak` has more.
@pytest.mark.parametrize("seed", range(int(os.environ.get("STREAMING_OPS_SERIES", "2"))))
def test_random_series_tell_what_alertmanager_would_tell(life: Life, seed: int) -> None:
    """Every alert flaps, escalates and is muted at random. With an odd seed the receiver is, too: it refuses for hours,
    or the process is killed after it has sent; what is not known to have arrived is due again, and says so."""
    chance = random.Random(seed)
    oracles = {alert: Alertmanager(minutes) for alert, minutes in SETTINGS.items()}
    levels, outcome = dict.fromkeys(SETTINGS, (0, 0, "")), "accepted"
    for at in (MIDNIGHT + n * TICK for n in range(120)):
        for alert in SETTINGS:
            if chance.random() < 0.3:
                level = chance.choice([0, 0, 1, 2])
                open_level = chance.choice([level, level, level, 0, min(level, 1)])
                entities = chance.choice(["a", "a", "ab", "abc", "bc"]) if open_level else ""
                levels[alert] = (level, open_level, entities)
            # Not every test is evaluated by every run.
            if chance.random() < 0.95:
                oracles[alert].evaluate(at, *levels[alert])
        now = at + timedelta(seconds=chance.randint(0, 9))
        life.evaluate(now, {alert: levels[alert] for alert in SETTINGS if oracles[alert].evaluated_at == at})

        due, expected = life.due(), {alert: oracle.due() for alert, oracle in oracles.items()}
        told = sorted((alert, kind, is_unsure) for alert, _, _, kind, _, is_unsure, _ in due)
        assert told == sorted((alert, kind, e.is_unsure) for alert, pairs in expected.items() for e, kind in pairs), at
        if seed % 2 and chance.random() < 0.2:
            outcome = chance.choice(["accepted", "refused", "killed"])
        for notification in due:
            life.note(now, notification, "attempted")
            if outcome != "killed":
                life.note(now, notification, outcome)
        for episode, kind in (pair for pairs in expected.values() for pair in pairs):
            episode.answer(kind, at, outcome)
