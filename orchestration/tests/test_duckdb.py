"""Faults of DuckDB that the project works round, each with a test that fails when the work-round can go."""

from pathlib import Path

import duckdb
import yaml

from orchestration.tests.conftest import PROJECT_DIR


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
