"""The health table says what is so, also when nobody has looked for a while."""

import io
import re

from rich.console import Console

from orchestration.health import show_alerts, show_health
from tests.python.warehouse import T0, Warehouse


def _shown(warehouse: Warehouse, as_of: str, width: int = 160) -> tuple[bool, str]:
    console = Console(width=width, file=io.StringIO())
    well = show_health(warehouse.dbt, as_of, console)
    return well, console.file.getvalue()  # type: ignore[attr-defined]


def test_a_healthy_stream_is_well(warehouse: Warehouse) -> None:
    warehouse.monitor(T0)
    well, text = _shown(warehouse, T0)
    assert well
    assert not re.search(r"^ *\w+ +(WARN|ERROR) ", text, re.MULTILINE)
    assert "throughput_below_floor" in text
    assert "0 records pending" in text


def test_the_fault_comes_first_with_its_limit(warehouse: Warehouse) -> None:
    warehouse.produce("2026-03-02T12:12:00Z", failed_task=1)
    warehouse.monitor("2026-03-02T12:12:00Z")
    well, text = _shown(warehouse, "2026-03-02T12:12:00Z")
    assert not well
    first = next(line for line in text.splitlines() if "ERROR" in line or " ok " in line)
    for fact in ("connector_not_running", "snowflake-orders-sink task 1", "FAILED", " RUNNING "):
        assert fact in first


def test_a_monitor_that_stopped_is_not_well(warehouse: Warehouse) -> None:
    well, text = _shown(warehouse, "2026-03-03T12:00:00Z")
    assert not well
    assert text.count("STALE") == 17


def test_what_is_muted_says_so_and_is_well(warehouse: Warehouse) -> None:
    warehouse.sql(
        "insert into MONITORING.SILENCES values ('connector_*', null, timestamp '2026-03-02 12:00:00', "
        "timestamp '2026-03-02 13:00:00', 'me', 'upgrade')"
    )
    warehouse.produce("2026-03-02T12:12:00Z", failed_task=1)
    warehouse.monitor("2026-03-02T12:12:00Z")
    well, text = _shown(warehouse, "2026-03-02T12:12:00Z", width=240)
    assert well
    (line,) = (line for line in text.splitlines() if "connector_not_running" in line)
    assert "ERROR, muted" in line
    assert "FAILED, muted by silence until 2026-03-02 13:00 UTC" in line


def test_alerts_of_a_monitor_that_stopped_say_so(warehouse: Warehouse) -> None:
    for as_of, is_known in ((T0, True), ("2026-03-03T12:00:00Z", False)):
        console = Console(width=160, file=io.StringIO())
        assert show_alerts(warehouse.dbt, as_of, console) is is_known
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert ("Nothing was evaluated since 2026-03-02 12:00:00 UTC" in text) is not is_known


def test_where_nothing_was_evaluated_nobody_knows_that_no_alert_is_open(warehouse: Warehouse) -> None:
    warehouse.sql("delete from MONITORING.TEST_RESULTS")
    console = Console(width=160, file=io.StringIO())
    assert not show_alerts(warehouse.dbt, T0, console)
    assert "Nothing was evaluated yet" in console.file.getvalue()  # type: ignore[attr-defined]


def test_an_alert_that_never_ran_is_not_well(warehouse: Warehouse) -> None:
    warehouse.sql("drop table MONITORING.PARTITION_STALLED")
    well, text = _shown(warehouse, T0)
    assert not well
    assert "never evaluated" in text


def test_a_narrow_terminal_shows_all_of_it_and_breaks_no_word(warehouse: Warehouse) -> None:
    warehouse.produce("2026-03-02T12:12:00Z", failed_task=1)
    warehouse.monitor("2026-03-02T12:12:00Z")
    _, text = _shown(warehouse, "2026-03-02T12:12:00Z", width=80)
    assert "end_to_end_latency_above_limit" in text
    told = " ".join(text.split())
    assert "snowflake-orders-sink task 1, FAILED, expected RUNNING, since 03-02 12:05" in told
