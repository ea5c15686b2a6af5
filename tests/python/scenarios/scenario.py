"""Scenarios: a fault in a healthy stream, and all alerts that fire then, through real dbt."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.python.warehouse import T0_MS, Warehouse

T1 = "2026-03-02T12:12:00Z"
COLLECTED_AFTER_T0 = "collected_at > '2026-03-02 12:00:00'"
PUSHED_AFTER_T0 = f"record_metadata['SnowflakeConnectorPushTime']::bigint > {T0_MS}"
Change = Callable[[Warehouse], Any]


@dataclass(frozen=True)
class Scenario:
    """What a fault is called, what it changes, and the status of each alert that fires at `as_of`."""

    name: str
    fault: Change
    fires: dict[str, str]
    as_of: str = T1
    is_transformed: bool = True

    def check(self, warehouse: Warehouse) -> None:
        self.fault(warehouse)
        if self.is_transformed:
            warehouse.transform(self.as_of)

        # These alerts, and no other.
        assert warehouse.firing(self.as_of) == self.fires

        # On the very tick that an alert fires the history has its rows ...
        metrics = f"select distinct metric_type from MONITORING.STREAMING_METRICS where timestamp = '{self.as_of[:-1]}'"
        assert len(warehouse.sql(metrics)) == 18
        # ... and the alert's own table has what was measured against what, and since when.
        for alert in self.fires:
            rows = warehouse.sql(f"select measured, allowed, since, detail from MONITORING.{alert} where level > 0")
            assert rows
            assert all(value not in (None, "") for row in rows for value in row), rows


def scenarios(*of_the_view: Scenario) -> pytest.MarkDecorator:
    """Runs the test with each; its name begins with the alerts that fire."""
    names = [f"{' and '.join(scenario.fires) or 'none'}: {scenario.name}" for scenario in of_the_view]
    return pytest.mark.parametrize("scenario", of_the_view, ids=names)


def produce(until: str = T1, **options: int) -> Change:
    return lambda warehouse: warehouse.produce(until, **options)


def produce_then(statement: str, until: str = T1) -> Change:
    return lambda warehouse: (warehouse.produce(until), warehouse.sql(statement))


def create_time_moved_by(milliseconds: int) -> str:
    return f"""
        update STREAMING.ORDER_EVENTS set record_metadata = {{
            'topic': record_metadata['topic']::varchar, 'partition': record_metadata['partition']::int,
            'offset': record_metadata['offset']::bigint, 'key': record_metadata['key']::varchar,
            'CreateTime': record_metadata['CreateTime']::bigint + ({milliseconds}),
            'SnowflakeConnectorPushTime': record_metadata['SnowflakeConnectorPushTime']::bigint
        }}::variant where {PUSHED_AFTER_T0}
    """


def dead_topic(warehouse: Warehouse) -> None:
    warehouse.produce(T1)
    warehouse.sql(
        f"delete from STREAMING.ORDER_EVENTS where {PUSHED_AFTER_T0}",
        """
        update STREAMING.KAFKA_OFFSETS as later
        set log_end_offset = landed.next_offset, committed_offset = landed.next_offset
        from (
            select
                record_metadata['partition']::int as partition,
                max(record_metadata['offset']::bigint) + 1 as next_offset
            from STREAMING.ORDER_EVENTS group by 1
        ) as landed
        where landed.partition = later.partition and later.collected_at >= timestamp '2026-03-02 12:00:00'
        """,
    )


def offsets(changes: str, where: str = "true", after: str = "12:00", copy: bool = False) -> str:
    """Changes what was collected after that time; with `copy` of a row that is added."""
    where = f"{where} and collected_at > '2026-03-02 {after}:00'"
    if not copy:
        return f"update STREAMING.KAFKA_OFFSETS set {changes} where {where}"
    values = dict(change.split(" = ") for change in changes.split(", "))
    replaced = ", ".join(f"{value} as {column}" for column, value in values.items())
    return (
        f"insert into STREAMING.KAFKA_OFFSETS select * replace ({replaced}) from STREAMING.KAFKA_OFFSETS where {where}"
    )


def content_changed(content: str, where: str) -> str:
    return f"update STREAMING.ORDER_EVENTS set record_content = {content}::variant where {PUSHED_AFTER_T0} and {where}"
