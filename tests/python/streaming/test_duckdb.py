"""Faults of DuckDB that the project works round, each with a test that fails when the work-round can go."""

import shutil
from pathlib import Path

import duckdb
import pytest
import yaml

from tests.python.warehouse import PROJECT_DIR, T0, Warehouse


def _rows_found(file: Path, settings: dict[str, str]) -> int:
    """Of 500 rows appended and read after the file was opened again, how many a filter on a VARIANT field finds."""
    for first, last in ((0, 300_000), (300_000, 300_500)):
        with duckdb.connect(file) as connection:
            connection.execute("create table if not exists t (v variant)")
            connection.execute(f"insert into t select {{'n': n}}::variant from range({first}, {last}) as r (n)")
    with duckdb.connect(file) as connection:
        for name, value in settings.items():
            connection.execute(f"set {name} = '{value}'")
        return connection.execute("select count(*) from t where v['n']::bigint >= 300000").fetchall()[0][0]


def test_duckdb_still_loses_variant_rows_without_the_setting(tmp_path: Path) -> None:
    found = _rows_found(tmp_path / "x.duckdb", {})
    assert found == 0, "DuckDB is mended: remove disabled_optimizers from profiles.example.yml, and these tests"


def test_the_profile_has_the_setting_and_it_helps(tmp_path: Path) -> None:
    profile = yaml.safe_load((PROJECT_DIR / "profiles.example.yml").read_text())
    settings = profile["streaming_ops"]["outputs"]["local"]["settings"]
    assert _rows_found(tmp_path / "x.duckdb", settings) == 500


NAMES = ["analytics.duckdb", "monitoring.db", "streaming.duckdb", "temp.duckdb", "memory.duckdb", "main.duckdb"]
NAMES += ["system.duckdb", "o'brien, müller/x.duckdb", "50% a#b?.duckdb"]


@pytest.mark.parametrize("name", NAMES)
def test_a_database_may_have_any_file_name(
    name: str, base_warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    shutil.copy(base_warehouse, file)
    monkeypatch.setenv("STREAMING_OPS_DUCKDB_PATH", str(file))
    dbt = Warehouse(file).dbt
    dbt.run_operation("create_landing_tables", T0)
    outcomes = dbt.build("resource_type:seed stg_streaming__order_events fct_order_events alert_settings alerts", T0)
    assert [str(outcome) for outcome in outcomes if outcome.is_problem] == []
    dbt.close()
    assert not file.with_name(f"{file.name}.wal").exists()
    with duckdb.connect() as connection:
        quoted = str(file).replace("'", "''")
        connection.execute(f"attach '{quoted}' as other")
        (rows,) = connection.execute("select count(*) from other.ANALYTICS.FCT_ORDER_EVENTS").fetchone()
    assert rows > 0


def test_another_client_can_query_the_views_of_the_file(warehouse: Warehouse) -> None:
    """DuckDB stores a view without the name that the file was attached by."""
    warehouse.dbt.build("fct_order_events alerts", T0)
    ((rows,),) = warehouse.sql("select count(*) from ANALYTICS.FCT_ORDER_EVENTS")
    assert rows > 0
    assert warehouse.sql("select count(*) from MONITORING.ALERTS")
