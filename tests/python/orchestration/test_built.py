"""What a process remembers of what was built, and when it does not."""

from pathlib import Path

import pytest

from orchestration import steps
from orchestration.built import KEPT_SECONDS, Built
from tests.python.warehouse import T0, Warehouse

T1, T2, T3 = (f"2026-03-02T12:{minute:02}:00Z" for minute in (5, 10, 15))
ALERTS = 17


def _built_views(warehouse: Warehouse, as_of: str) -> list[str]:
    """Of a run of tag:monitoring, the views that it made."""
    made = warehouse.dbt.build("tag:monitoring", as_of)
    return [outcome.name for outcome in made if outcome.resource_type == "model" and outcome.name.startswith("watch_")]


def test_the_second_run_leaves_the_views_and_runs_every_test(warehouse: Warehouse) -> None:
    warehouse.dbt.built.forget()
    assert _built_views(warehouse, T1)
    assert not _built_views(warehouse, T2)
    alerts = warehouse.monitor(T3)
    assert len(alerts) == ALERTS


def test_what_was_dropped_fails_one_tick_and_is_made_again_by_the_next(warehouse: Warehouse) -> None:
    """A view, a seed and a view of staging. As in processes of their own: project() makes ready what a process before
    did not.
    """
    warehouse.monitor(T1)
    warehouse.sql(
        "drop view MONITORING.WATCH_LATENCY",
        "drop table MONITORING.EXPECTED_TOPICS",
        "drop view ANALYTICS.STG_STREAMING__KAFKA_OFFSETS",
    )
    assert "error" in warehouse.monitor(T2).values()
    steps.project.cache_clear()
    warehouse.dbt = steps.project()
    assert "error" not in warehouse.monitor(T3).values()


def test_a_run_with_options_of_its_own_does_not_say_what_the_next_one_builds(warehouse: Warehouse) -> None:
    warehouse.monitor(T1)
    list(steps.backfill("2026-03-02T10:00:00Z", T0, T1))
    assert len(warehouse.monitor(T2)) == ALERTS


def test_another_process_knows_it_until_the_project_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "target" / "built.json"
    built = Built(file, "this project")
    built.put("tag:monitoring", ["consumer_lag"])
    built.settle("waiting_records", "17/4")
    again = Built(file, "this project")
    assert (again.get("tag:monitoring"), again.token("waiting_records")) == (["consumer_lag"], "17/4")
    changed = Built(file, "another project")
    assert (changed.get("tag:monitoring"), changed.token("waiting_records")) == (None, None)
    # After a fault nothing is taken for granted, nor after an hour, nor where the file is none.
    monkeypatch.setattr("time.time", lambda: again._since + KEPT_SECONDS)
    assert again.get("tag:monitoring") is None
    built.forget()
    assert Built(file, "this project").token("waiting_records") is None
    for text in ("{", "null", "[]", "{}"):
        file.write_text(text)
        assert Built(file, "this project").get("tag:monitoring") is None
