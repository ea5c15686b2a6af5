"""Random histories of a Kafka stream, and what must come of them: an oracle that knows none of the project's SQL.

A history is what the world does: steps of time, deliveries into the landing table, and runs, some of them killed. Every
record is made together with its meaning, so that nothing here has to parse what the SQL parses.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

Keys = dict[str, Any]

START_MS = 1772409600000  # 2026-03-02T00:00:00Z
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
LAST_MS = 253402300799999

STATUS = {f"order_{name}": name for name in ("created", "paid", "shipped", "delivered", "cancelled")}

# How a record is dated and identified. Repeated: likelier. The first is the simplest one to shrink to.
CLOCKS = (
    *["pushed now"] * 14,
    *["copy"] * 10,
    *["late"] * 4,
    "at the edge",
    "at the edge",
    "past the edge",
    "too late",
    "copy of old",
    "copy of old",
    "created in the future",
    "created long ago",
    "created never",
    "created never, appended",
    "created at -1",
    "pushed never",
    "pushed never",
    "pushed never, created never, appended",
    "no clock",
    "pushed in the near future",
    "pushed in the near future",
    "pushed in the far future",
    "pushed in nanoseconds",
    "pushed at -1",
    "no offset",
    "no offset, retried",
    "no offset, no event_id",
    "no metadata",
    "empty metadata",
)
CONTENTS = (
    *["event"] * 16,
    "no customer",
    "no customer",
    "no amount",
    "no amount",
    "no currency",
    "bare",
    "bare",
    "no event_id",
    "null fields",
    "tombstone",
    "tombstone {}",
    "no object",
    "bad amount",
    "missing order_id",
    "bad event_ts",
    "missing event_type",
    "unknown field",
    "amount as text",
    "order_id as number",
    "new event type",
    "new currency",
)
ACTIONS = (
    *["tick"] * 8,
    *["load"] * 3,
    *["catch up"] * 3,
    "nothing",
    "orders",
    "orders",
    "buckets",
    "rebuild",
    "rebuild",
    *["rebuild records"] * 3,
    "rebuild orders",
    "rebuild orders",
    "backfill",
    "nightly",
)
# None, or how the run is killed: at the n-th statement, or after a share of its usual duration.
KILLS = (None, None, None, "before", "after", "after", "timed", "timed")
GAPS = (MINUTE, 5 * MINUTE, 5 * MINUTE, 20 * MINUTE, 70 * MINUTE, 5 * HOUR, 26 * HOUR)
STEPS = (1000, 1, 5, 12, 40)


@dataclass
class Delivery:
    """A row of the landing table. `is_promised`: the runs must find it without a backfill."""

    metadata: dict[str, Any] | None
    content: Any
    is_promised: bool = True

    @property
    def pushed_ms(self) -> int | None:
        return _valid((self.metadata or {}).get("SnowflakeConnectorPushTime"))

    @property
    def created_ms(self) -> int | None:
        clocks = self.metadata or {}
        return _valid(clocks.get("CreateTime", clocks.get("LogAppendTime")))

    @property
    def landed_ms(self) -> int | None:
        clocks = self.metadata or {}
        for clock in (self.pushed_ms, _valid(clocks.get("LogAppendTime")), _valid(clocks.get("CreateTime"))):
            if clock is not None:
                return clock
        return None


@dataclass
class Record:
    """A distinct record: what it says, and every delivery of it."""

    record_id: str
    topic: str | None
    partition: int | None
    offset: int | None
    content: Any
    says: dict[str, Any]
    rejected_reason: str | None
    deliveries: list[Delivery] = field(default_factory=list)


@dataclass
class Step:
    """Deliveries land, then `action` runs at `as_of_ms` with loads of at most `load_step` records."""

    deliveries: list[Delivery]
    action: str
    as_of_ms: int
    load_step: int
    kill: str | None
    kill_at: int
    backfill: tuple[int, int]


@dataclass
class History:
    late_arrival_minutes: int
    steps: list[Step]
    records: dict[str, Record]
    one_backfill: bool

    @property
    def deliveries(self) -> list[Delivery]:
        return [delivery for record in self.records.values() for delivery in record.deliveries]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    def __repr__(self) -> str:
        lines = [f"History(late_arrival_minutes={self.late_arrival_minutes}, one_backfill={self.one_backfill})"]
        for step in self.steps:
            for delivery in step.deliveries:
                promise = "" if delivery.is_promised else "  -- for a backfill"
                lines.append(f"  land {json.dumps(delivery.metadata)} {json.dumps(delivery.content)}{promise}")
            span = f" {iso(step.backfill[0])} to {iso(step.backfill[1])}" if step.action == "backfill" else ""
            kill = f", killed {step.kill} {step.kill_at}" if step.kill else ""
            lines.append(f"  {step.action}{span} as of {iso(step.as_of_ms)}, load_step_records={step.load_step}{kill}")
        return "\n".join(lines)


def iso(epoch_ms: int) -> str:
    return (datetime(1970, 1, 1) + timedelta(milliseconds=epoch_ms)).isoformat(timespec="milliseconds") + "Z"


def instant(epoch_ms: int | None) -> datetime | None:
    """As the warehouse gives it: naive, UTC."""
    return None if epoch_ms is None else datetime(1970, 1, 1) + timedelta(milliseconds=epoch_ms)


def _valid(epoch_ms: int | None) -> int | None:
    return epoch_ms if epoch_ms is not None and 0 <= epoch_ms <= LAST_MS else None


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@st.composite
def histories(draw: st.DrawFn) -> History:
    return _World(draw).history()


class _World:
    """Draws a history: a broker that counts offsets, and a connector that delivers at least once."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.now = START_MS
        self.late_ms = draw(st.sampled_from((60, 15))) * MINUTE
        self.records: dict[str, Record] = {}
        self.offsets: Counter[tuple[str, int]] = Counter()
        self.pushed: list[int] = []
        self.edge = 0
        self.serial = 0

    def history(self) -> History:
        steps = [self._step(n) for n in range(self._number(2, 9))]
        return History(self.late_ms // MINUTE, steps, self.records, self.draw(st.booleans()))

    def _number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def _one_of(self, choices: tuple[Any, ...]) -> Any:
        return choices[self._number(0, len(choices) - 1)]

    def _step(self, number: int) -> Step:
        self.now += self._one_of(GAPS)
        # A topic that is made anew counts from zero again.
        if number and self._number(0, 7) == 7:
            self.offsets.clear()
        deliveries = [delivery for _ in range(self._number(0, 40)) for delivery in self._deliveries(number)]
        # Whatever was loaded until the next step, the window starts at or before this. What was from the
        # future when it landed no longer is when its time has come.
        self.pushed += [d.pushed_ms for d in deliveries if d.pushed_ms is not None]
        self.edge = max(self.edge, *(ms - self.late_ms for ms in self.pushed if ms <= self.now), 0)
        action = self._one_of(ACTIONS)
        span = self._number(0, 3) if action == "backfill" else 0
        to_ms = self.now - (HOUR, 0, 2 * MINUTE, DAY)[span]
        kill = self._one_of(KILLS) if action != "nothing" else None
        return Step(
            deliveries,
            action,
            # Now and then a run is late, and evaluates an instant that has passed.
            (self.now - 3 * MINUTE if self._number(0, 9) == 9 else self.now) // SECOND * SECOND,
            self._one_of(STEPS),
            kill,
            self._number(0, 99) if kill else 0,
            (to_ms - (HOUR, 30 * HOUR, 5 * MINUTE, DAY)[span], to_ms),
        )

    def _deliveries(self, step: int) -> list[Delivery]:
        clock = self._one_of(CLOCKS)
        detail = self._number(0, 255)
        if clock.startswith("copy"):
            return [self._copy(clock, detail)]
        kind = self._one_of(CONTENTS)
        lag = (detail % 50) * SECOND
        pushed = {
            "late": self.now - self.late_ms + (detail * self.late_ms // 256),
            "at the edge": max(self.edge, START_MS - DAY),
            "past the edge": max(self.edge, START_MS - DAY) - 1,
            "too late": self.now - self.late_ms - detail * 20 * MINUTE,
            "pushed never": None,
            "pushed never, created never, appended": None,
            "no clock": None,
            "pushed in the near future": self.now + (detail % 16) * 20 * MINUTE + 1,
            "pushed in the far future": self.now + (detail + 1) * DAY,
            "pushed in nanoseconds": self.now * 1_000_000,
            "pushed at -1": -1,
        }.get(clock, self.now - lag)
        base = pushed if pushed is not None and 0 <= pushed <= self.now else self.now
        created = {
            "created in the future": self.now + 3 * DAY,
            "created long ago": self.now - (detail + 1) * DAY,
            "created never": None,
            "created never, appended": None,
            "pushed never, created never, appended": None,
            "no clock": None,
            "created at -1": -1,
        }.get(clock, base - detail * 7)
        topic = "orders" if detail % 5 else "refunds"
        partition = detail % (1 + min(step, 5))
        metadata: dict[str, Any] | None = {"topic": topic, "partition": partition, "offset": 0}
        if created is not None:
            metadata["CreateTime"] = created
        if clock.endswith("appended"):
            metadata["LogAppendTime"] = base - detail % 2 * 2 * DAY
        if pushed is not None:
            metadata["SnowflakeConnectorPushTime"] = pushed
        if clock.startswith("no offset"):
            del metadata["offset"]
        elif clock in ("no metadata", "empty metadata"):
            metadata = None if clock == "no metadata" else {}
        else:
            # Transactions and compaction leave gaps.
            self.offsets[topic, partition] += 1 + (detail % 16 == 15)
            metadata["offset"] = self.offsets[topic, partition] - 1
        content, says, reason = self._content(kind, base, detail)
        if clock == "no offset, no event_id" and isinstance(content, dict):
            content.pop("event_id", None)
            says = says | {"event_id": None}
        delivery = self._land(metadata, content, says, reason)
        if clock == "no offset, retried" and says["event_id"]:
            # The producer sent it again: another record, of the same event.
            again = metadata | {"CreateTime": metadata["CreateTime"] + 3 * SECOND}
            return [delivery, self._land(again, content, says, reason)]
        return [delivery]

    def _copy(self, clock: str, detail: int) -> Delivery:
        """Delivers a record again, as it was but pushed later, or not pushed anew at all."""
        if not self.records:
            self.now += SECOND
            return self._land({"topic": "orders"}, None, _NOTHING, "tombstone")
        known = list(self.records.values())
        # Mostly something recent.
        record = known[detail % len(known)] if clock == "copy of old" else known[-1 - detail % min(len(known), 30)]
        first = record.deliveries[0]
        metadata = first.metadata
        if metadata and record.offset is not None and "SnowflakeConnectorPushTime" in metadata and detail % 4:
            metadata = metadata | {"SnowflakeConnectorPushTime": self.now - detail % 9 * SECOND}
        return self._deliver(record, Delivery(metadata, first.content))

    def _land(
        self, metadata: dict[str, Any] | None, content: Any, says: dict[str, Any], reason: str | None
    ) -> Delivery:
        delivery = Delivery(metadata, content)
        record_id = _record_id(metadata or {}, metadata, content, says["event_id"])
        while (known := self.records.get(record_id)) and known.content != content and "CreateTime" in (metadata or {}):
            # Two records of re-created topics: they are told apart by their clock.
            metadata = metadata | {"CreateTime": metadata["CreateTime"] + 1}
            delivery = Delivery(metadata, content)
            record_id = _record_id(metadata, metadata, content, says["event_id"])
        if record_id not in self.records:
            keys = metadata or {}
            self.records[record_id] = Record(
                record_id, keys.get("topic"), keys.get("partition"), keys.get("offset"), content, says, reason
            )
        return self._deliver(self.records[record_id], delivery)

    def _deliver(self, record: Record, delivery: Delivery) -> Delivery:
        delivery.is_promised = delivery.pushed_ms is None or delivery.pushed_ms >= self.edge
        record.deliveries.append(delivery)
        return delivery

    def _content(self, kind: str, now: int, detail: int) -> tuple[Any, dict[str, Any], str | None]:
        if kind.startswith("tombstone"):
            return {} if kind == "tombstone {}" else None, _NOTHING, "tombstone"
        if kind == "no object":
            return ["oops"], _NOTHING, "missing_order_id"
        self.serial += 1
        order = self._number(0, 11)
        event_type = list(STATUS)[self._number(0, 4)]
        age = self._number(0, 7)
        # On a grid, so that events of an order often have the same time.
        event_ms = (now // MINUTE * MINUTE, START_MS, START_MS + 10 * MINUTE, now - 3 * HOUR, now - 9 * DAY,
                    now + HOUR, now // HOUR * HOUR, now - detail)[age]  # fmt: skip
        zone = detail % 3
        says: dict[str, Any] = {
            "event_id": f"e{self.serial}",
            "event_type": event_type,
            "event_at": instant(event_ms),
            "order_id": f"O{order}",
            "customer_id": f"C{detail % 4}",
            "amount": Decimal(detail) / 2,
            "currency": ("EUR", "USD", "GBP")[zone],
        }
        content: dict[str, Any] = says | {"amount": detail / 2 if detail % 2 else detail // 2}
        local = datetime.fromtimestamp(event_ms / 1000, UTC) + timedelta(hours=2 * (zone == 1))
        content["event_ts"] = local.strftime("%Y-%m-%dT%H:%M:%S.") + f"{event_ms % 1000:03}" + ("Z", "+02:00", "")[zone]
        del content["event_at"]
        for name in {
            "no customer": ["customer_id"],
            "no amount": ["amount"],
            "no currency": ["currency"],
            "bare": ["customer_id", "amount", "currency"],
            "no event_id": ["event_id"],
            "missing order_id": ["order_id"],
            "missing event_type": ["event_type"],
        }.get(kind, []):
            says[name] = None
            del content[name]
        if kind == "null fields":
            says |= {"customer_id": None, "amount": None}
            content |= {"customer_id": None, "amount": None}
        elif kind == "bad amount":
            says["amount"], content["amount"] = None, ("n/a", {"a": 1}, True)[detail % 3]
        elif kind == "bad event_ts":
            says["event_at"], content["event_ts"] = None, ("yesterday", "infinity", 20260302, None)[detail % 4]
        elif kind == "unknown field":
            content["gift_wrap"] = {"colour": "red"}
        elif kind == "amount as text":
            content["amount"] = str(detail / 2)
        elif kind == "order_id as number":
            says["order_id"], content["order_id"] = str(order), order
        elif kind == "new event type":
            says["event_type"] = content["event_type"] = "order_teleported"
        elif kind == "new currency":
            says["currency"] = content["currency"] = "XAU"
        return content, says, _reason(content, says)


_NOTHING: dict[str, Any] = dict.fromkeys(
    ("event_id", "event_type", "event_at", "order_id", "customer_id", "amount", "currency")
)


def _reason(content: dict[str, Any], says: dict[str, Any]) -> str | None:
    for name, reason in (
        ("order_id", "missing_order_id"),
        ("event_type", "missing_event_type"),
        ("event_at", "invalid_event_ts"),
    ):
        if says[name] is None:
            return reason
    return "invalid_amount" if says["amount"] is None and content.get("amount") is not None else None


def _record_id(keys: dict[str, Any], metadata: dict[str, Any] | None, content: Any, event_id: str | None) -> str:
    as_text = "" if content is None else _as_json(content)
    if keys.get("offset") is not None:
        told_by = keys.get("CreateTime", keys.get("LogAppendTime", event_id))
        told_by = hashlib.md5(as_text.encode()).hexdigest() if told_by is None else told_by
        return f"{keys['topic']}/{keys['partition']}/{keys['offset']}@{told_by}"
    if event_id is not None:
        clock = keys.get("CreateTime", keys.get("LogAppendTime"))
        return f"event/{event_id}" + ("" if clock is None else f"@{clock}")
    return "content/" + hashlib.md5((("" if metadata is None else _as_json(metadata)) + as_text).encode()).hexdigest()


def expected_orders(records: dict[str, Record]) -> dict[str, dict[str, Any]]:
    """The orders that these records make: every distinct valid one folded in, whatever the order of arrival."""
    events: dict[str, list[Record]] = {}
    for record in records.values():
        if record.rejected_reason is None:
            events.setdefault(record.says["order_id"], []).append(record)
    return {order_id: _order(order_id, of_order) for order_id, of_order in events.items()}


def _order(order_id: str, events: list[Record]) -> dict[str, Any]:
    events = sorted(
        events, key=lambda r: (r.says["event_at"], -1 if r.offset is None else r.offset, r.record_id.encode())
    )
    latest = events[-1]
    with_amount = [event for event in events if event.says["amount"] is not None]
    with_customer = [event for event in events if event.says["customer_id"] is not None]
    return {
        "order_id": order_id,
        "customer_id": with_customer[-1].says["customer_id"] if with_customer else None,
        "latest_event_type": latest.says["event_type"],
        "order_status": STATUS.get(latest.says["event_type"], "unknown"),
        "amount": with_amount[-1].says["amount"] if with_amount else None,
        "currency": with_amount[-1].says["currency"] if with_amount else None,
        "event_count": len(events),
        "first_event_at": events[0].says["event_at"],
        "last_event_at": latest.says["event_at"],
        "topic": latest.topic,
        "partition": latest.partition,
        "latest_offset": latest.offset,
    }


def expected_buckets(deliveries: list[Delivery]) -> dict[tuple[Any, ...], tuple[int, int | None, datetime]]:
    """Deliveries by minute of arrival, topic, partition and whether they are dated: count, greatest offset, last."""
    buckets: dict[tuple[Any, ...], tuple[int, int | None, datetime]] = {}
    for delivery in deliveries:
        if delivery.landed_ms is None:
            continue
        keys = delivery.metadata or {}
        key = (
            instant(delivery.landed_ms // MINUTE * MINUTE),
            keys.get("topic", "(none)"),
            keys.get("partition", -1),
            delivery.pushed_ms is not None,
        )
        count, offset, last = buckets.get(key, (0, None, datetime.min))
        offsets = [value for value in (offset, keys.get("offset")) if value is not None]
        buckets[key] = (count + 1, max(offsets, default=None), max(last, instant(delivery.landed_ms)))
    return buckets
