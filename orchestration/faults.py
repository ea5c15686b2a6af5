"""Faults of the monitor itself: a run that failed, a receiver that refuses, a wrong setting, seed or clock.

A fault is one incident. Receivers are notified when it begins, when it gets another cause, every four hours while it
lasts if it is an error, and when it is over; without the warehouse if need be. What was sent is kept for each
warehouse in MONITORING.RUN_STATE, and in a Prefect variable and a file for where that is out of reach. Without any of
them it is sent again, with the same deduplication key.
"""

import hashlib
import json
import logging
import re
import socket
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from orchestration.notify import configured, runbook_url
from orchestration.origin import origin
from orchestration.outcomes import Outcome
from orchestration.receivers import Answer, Notification, send_all
from orchestration.settings import NO_LOG, Settings, log_dir, log_file

logger = logging.getLogger(__name__)
_REPEATED = timedelta(hours=4)
_MOST_ENTITIES, _MOST_CAUSES = 20, 50
_WORDS = 40  # characters
_MOST_TEXT = 5000  # characters of a Prefect variable

RUN_FAILED = (
    "A run could not do its work. Alerts that it did not evaluate keep their state; no notification is sent for them. "
    "{blind}First command: `python -m orchestration check`; then the log with statements and errors, {log} on {host}."
)
RECEIVER_REFUSES = (
    "A receiver did not accept a notification. The notification stays due, and is sent again with the next tick. "
    "First command: `python -m orchestration test-alert`."
)
SETTINGS_WRONG = (
    "A setting has a value that cannot be used. Only the part of the project that needs it is affected. "
    "First command: `python -m orchestration check`."
)
SEEDS_WRONG = (
    "A row in seeds/ or a limit in dbt_project.yml has a mistake, and has no effect or not the intended one. "
    "First command: `python -m orchestration check`."
)
CLOCK_WRONG = (
    "This warehouse has evaluations dated later than now: the clock of a machine that ran a tick was wrong, or this "
    "machine's is. Alerts are judged by the evaluations up to now. First command: `date -u`, on each machine that runs "
    "ticks."
)
VIEWS_WRONG = "Views of ANALYTICS and MONITORING returned no rows, or only a sample, until this run rebuilt them."
SKIPPED = "Ticks are skipped: nothing is evaluated meanwhile. First command: end what uses the warehouse."
State = dict[str, dict[str, Any]]  # by fault: is_open, opened_at, stored_at, and by receiver what was sent


class Store(Protocol):
    """Keeps a text between runs. Both raise whatever goes wrong."""

    def read(self) -> str | None: ...

    def write(self, text: str) -> None: ...


class File:
    """In the folder of the log files, which need not be in the project."""

    def read(self) -> str | None:
        path = self._path()
        return path.read_text(encoding="utf-8") if path.exists() else None

    def write(self, text: str) -> None:
        path = self._path()
        # Of this user alone, and by a name that nobody knows: the folder may be one that others write to.
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as new:
            try:
                new.write(text)
                new.flush()
                Path(new.name).replace(path)
            finally:
                Path(new.name).unlink(missing_ok=True)

    def _path(self) -> Path:
        folder = log_dir()
        if folder is None:
            raise OSError("no folder can be written")
        return folder / f"faults-{state_name()}.json"


class PrefectVariable:
    """On the Prefect server that shows the runs: it survives the machine of a worker."""

    def read(self) -> str | None:
        from prefect.variables import Variable

        return Variable.get(f"streaming_ops_faults_{state_name()}")

    def write(self, text: str) -> None:
        from prefect.variables import Variable

        if len(text) > _MOST_TEXT:
            raise ValueError(f"a Prefect variable takes {_MOST_TEXT} characters")
        Variable.set(f"streaming_ops_faults_{state_name()}", text, overwrite=True)


def state_name() -> str:
    """Differs for each warehouse."""
    return hashlib.sha256(origin().encode()).hexdigest()[:12]


class Faults:
    """What is wrong in a run or a tick, and what its receivers know of it."""

    def __init__(self, as_of: str, stores: Iterable[Store]) -> None:
        """`stores`: all are read and written. One that was out of reach may have an old state: the newest counts."""
        self._as_of, self._stores, self._settings = as_of, list(stores), Settings()
        self._known: State = {}
        for store in self._stores:
            with suppress(Exception):
                for name, fault in _parsed(store.read()).items():
                    if fault["stored_at"] > self._known.get(name, {}).get("stored_at", ""):
                        self._known[name] = fault
        self._is_changed = False
        self._due: list[Notification] = []
        self._causes: dict[str, set[str]] = {}
        self._accepted: set[str] = set()
        self._refused: dict[str, list[str]] = {}
        self._tried: set[tuple[str, str]] = set()
        self._silent: set[str] = set()

    def report(
        self,
        name: str,
        outcomes: Iterable[Outcome],
        meaning: str = RUN_FAILED,
        severity: str = "error",
        blind: Iterable[str] = (),
        spared: str = "",
    ) -> None:
        """Says what is wrong of `name`; nothing where all is well again. `blind`: alerts that were not evaluated.
        `spared`: a receiver that is not notified."""
        # One cause breaks several steps.
        problems = list({outcome.message: outcome for outcome in outcomes}.values())
        if not problems and name not in self._known:
            return
        fault = self._known.setdefault(name, {"is_open": False, "opened_at": self._as_of, "sent": {}})
        if bool(problems) != fault["is_open"]:
            fault["is_open"] = bool(problems)
            if not fault["sent"]:
                fault["opened_at"] = self._as_of
            self._touch(fault)
        self._causes[name] = {_digest(outcome) for outcome in problems}
        for receiver in configured(self._settings):
            sent = fault["sent"].get(receiver)
            kind = self._kind(sent, self._causes[name], severity) if problems else "resolved" if sent else None
            # What this tick tried already, and a receiver that did not answer, are for the next one.
            is_over = (name, receiver) in self._tried or receiver in self._silent
            if kind and receiver != spared and not is_over:
                self._due.append(self._notification(receiver, name, kind, severity, meaning, problems, blind))

    def receiver(self, outcome: Outcome) -> None:
        """Takes how the delivery of alerts to a receiver ended."""
        if outcome.is_refused:
            self._refused.setdefault(outcome.name, []).append(outcome.message)
        else:
            self._accepted.add(outcome.name)

    def send(self, seconds: float) -> list[Outcome]:
        """Sends what is due, within so many seconds in all, and keeps that. Returns each receiver that refused."""
        end = time.monotonic() + seconds
        self._send(seconds)
        # A receiver that refuses cannot be sent its own problem; the others are sent it, and may refuse in turn.
        for _ in configured(self._settings):
            self._report_receivers()
            if not self._due:
                break
            self._send(max(1, end - time.monotonic()))
        if self._is_changed:
            self._keep()
        refused = [Outcome(n, "receiver", "refused", "\n".join(dict.fromkeys(p))) for n, p in self._refused.items()]
        self._accepted, self._refused = set(), {}
        return refused

    def _report_receivers(self) -> None:
        mine = set(configured(self._settings))
        for receiver in self._refused.keys() | self._accepted | {_receiver_of(name) for name in self._known} - {""}:
            problems = self._refused.get(receiver, [])
            if problems or receiver in self._accepted or receiver not in mine:
                wrong = [Outcome(receiver, "receiver", "refused", problem) for problem in problems]
                self.report(f"{receiver}{_REFUSES}", wrong, RECEIVER_REFUSES, spared=receiver)

    def _send(self, seconds: float) -> None:
        due, self._due = self._due, []
        self._tried |= {(n.alert, n.receiver) for n in due}
        for answer in send_all(due, self._settings, seconds) if due else ():
            self._note(answer)

    def _note(self, answer: Answer) -> None:
        notification = answer.notification
        if not answer.certain:
            self._silent.add(notification.receiver)
        if not answer.accepted:
            self._refused.setdefault(notification.receiver, []).append(answer.problem or "")
            return
        self._accepted.add(notification.receiver)
        fault = self._known[notification.alert]
        self._touch(fault)
        if notification.kind == "resolved":
            fault["sent"].pop(notification.receiver, None)
            return
        known = set((fault["sent"].get(notification.receiver) or {}).get("causes", []))
        fault["sent"][notification.receiver] = {
            "at": self._as_of,
            "reference": answer.reference,
            "causes": sorted(known | self._causes[notification.alert])[:_MOST_CAUSES],
        }

    def _touch(self, fault: dict[str, Any]) -> None:
        """Later than all that is known: a state that a wrong clock has dated in the future must not win."""
        newest = max((f["stored_at"] for f in self._known.values() if "stored_at" in f), default="")
        now = datetime.now(UTC).replace(tzinfo=None)
        after = datetime.fromisoformat(newest) + timedelta(microseconds=1) if newest else now
        fault["stored_at"] = f"{max(now, after):%Y-%m-%dT%H:%M:%S.%f}"
        self._is_changed = True

    def _keep(self) -> None:
        """In every store: the next run may reach another one. A fault that is over stays as an entry that says so, for
        an older state must not bring it back."""
        text, self._is_changed, is_kept = json.dumps(self._known), False, False
        for store in self._stores:
            try:
                store.write(text)
                is_kept = True
            except Exception as error:
                logger.info("%s did not take which faults were sent: %s", type(store).__name__, error)
        if not is_kept:
            logger.warning("Which faults were sent could not be kept: they may be sent again, with the same key.")

    def _kind(self, sent: dict[str, Any] | None, causes: set[str], severity: str) -> str | None:
        if sent is None:
            return "firing"
        if causes - set(sent["causes"]) and len(sent["causes"]) < _MOST_CAUSES:
            return "widened"
        since = datetime.fromisoformat(self._as_of) - datetime.fromisoformat(sent["at"])
        return "repeated" if severity == "error" and since >= _REPEATED else None

    def _notification(
        self,
        receiver: str,
        name: str,
        kind: str,
        severity: str,
        meaning: str,
        problems: list[Outcome],
        blind: Iterable[str],
    ) -> Notification:
        names = ", ".join(sorted(blind))
        sent = self._known[name]["sent"].get(receiver) or {}
        return Notification(
            receiver=receiver,
            channel=None,
            alert=name,
            origin=origin(),
            is_fault=True,
            opened_at=self._known[name]["opened_at"],
            kind=kind,
            severity=severity,
            last_seen_at=self._as_of,
            resolved_at=None if problems else self._as_of,
            bad_runs=1,
            entities=[
                {
                    "entity": f"{o.resource_type} {o.name}",
                    "measured": o.status,
                    "allowed": "success",
                    "detail": o.message,
                    "level": 2 if severity == "error" else 1,
                }
                for o in problems[:_MOST_ENTITIES]
            ],
            entity_count=len(problems),
            description=meaning.format(
                blind=f"Not evaluated: {names}. " if names else "", log=log_file() or NO_LOG, host=socket.gethostname()
            ),
            owner="",
            runbook=runbook_url("README.md#when-a-run-fails", self._settings),
            model=None,
            may_have_arrived=False,
            reference=sent.get("reference"),
        )


_REFUSES = " refuses notifications"


def _receiver_of(name: str) -> str:
    return name.removesuffix(_REFUSES) if name.endswith(_REFUSES) else ""


def _digest(outcome: Outcome) -> str:
    """Of the part that is broken. Of a whole run also of the first words, without figures: those may be times."""
    words = re.sub(r"[\W\d_]+", " ", outcome.message)[:_WORDS] if outcome.resource_type == "run" else ""
    return hashlib.sha256(f"{outcome.resource_type} {outcome.name} {words}".encode()).hexdigest()[:8]


def _parsed(text: str | None) -> State:
    """Whatever of it can be understood: a state of any content must not stop a notification."""
    state: State = {}
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return state
    for name, fault in found.items() if isinstance(found, dict) else ():
        with suppress(KeyError, TypeError, ValueError, AttributeError, OverflowError):
            sent = {
                receiver: {
                    "at": datetime.fromisoformat(known["at"]).astimezone(UTC).isoformat(),
                    "reference": None if known.get("reference") is None else str(known["reference"]),
                    "causes": [str(cause) for cause in known["causes"]],
                }
                for receiver, known in fault["sent"].items()
            }
            opened_at = datetime.fromisoformat(fault["opened_at"]).astimezone(UTC)
            state[name] = {
                "is_open": bool(fault["is_open"]),
                "opened_at": f"{opened_at:%Y-%m-%dT%H:%M:%SZ}",
                "stored_at": f"{datetime.fromisoformat(fault['stored_at']):%Y-%m-%dT%H:%M:%S.%f}",
                "sent": sent,
            }
    return state
