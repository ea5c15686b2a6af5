"""The name of the environment: the same in every process, and without a secret."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration import credentials
from orchestration.origin import FETCHED, origin
from orchestration.settings import PROJECT_DIR, Settings

SNOWFLAKE = {"DBT_TARGET": "snowflake", "SNOWFLAKE_ACCOUNT": "ORG-A", "SNOWFLAKE_DATABASE": "STREAMING_OPS"}
PREFIX = {"STREAMING_OPS_SCHEMA_PREFIX": "STAGING_"}
_POSTGRES = "local postgres:host=h password=***{}"


def _profile(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (folder / "profiles.yml").write_text(text)
    monkeypatch.setenv("DBT_PROFILES_DIR", str(folder))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, f"local {PROJECT_DIR}/warehouse.duckdb"),
        ({"STREAMING_OPS_DUCKDB_PATH": "a/../b.duckdb"} | PREFIX, f"local {PROJECT_DIR}/b.duckdb STAGING_"),
        ({"STREAMING_OPS_DUCKDB_PATH": "/b\n\u202e.duckdb"}, "local /b??.duckdb"),
        ({"STREAMING_OPS_DUCKDB_PATH": "md:orders?motherduck_token=s3cr3t"}, "local md:orders"),
        ({"STREAMING_OPS_DUCKDB_PATH": ":memory:"}, "local :memory:"),
        (SNOWFLAKE, "snowflake ORG-A STREAMING_OPS"),
        (SNOWFLAKE | PREFIX, "snowflake ORG-A STREAMING_OPS STAGING_"),
        ({"DBT_TARGET": "snowflake"}, "snowflake"),
        # A prefix that cannot be used, such as a token.
        (SNOWFLAKE | {"STREAMING_OPS_SCHEMA_PREFIX": "xoxb-s3cr3t"}, "snowflake ORG-A STREAMING_OPS"),
        ({"STREAMING_OPS_DUCKDB_PATH": "/x.duckdb?motherduck_token=s3cr3t"}, "local /x.duckdb"),
        ({"STREAMING_OPS_DUCKDB_PATH": "http://u:s3/cr3t?@host/x"}, "local http://host/x"),
        ({"STREAMING_OPS_DUCKDB_PATH": "dbname=c password=s3cr3t"}, f"local {PROJECT_DIR}/dbname=c password=***"),
        ({"STREAMING_OPS_DUCKDB_PATH": "postgres:host=h password='s3\\' cr3t' port=1"}, _POSTGRES.format(" port=1")),
        ({"STREAMING_OPS_DUCKDB_PATH": "postgres:host=h password=s3cr3t"}, _POSTGRES.format("")),
        (
            {"STREAMING_OPS_DUCKDB_PATH": "ducklake:postgres:host=h password=s3cr3t"},
            f"local ducklake:{_POSTGRES.format('')[6:]}",
        ),
    ],
)
def test_it_is_target_place_and_prefix(
    settings: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert origin() == expected
    # Also without a profile, and with one that cannot be read.
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    assert origin() == expected
    for text in ("- a: [", "null", "streaming_ops: {outputs: {local: [], snowflake: 1}}", "\udcff"):
        (tmp_path / "profiles.yml").write_bytes(text.encode(errors="surrogateescape"))
        assert origin() == expected


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        ("OTHER", "snowflake ORG-B OTHER"),
        ("{{ env_var('STAGE', 'DEV') }}_OPS", "snowflake ORG-B DEV_OPS"),
        # What it does not know here: a block of Prefect, a secret, and what is not to be done.
        ("{{ prefect.variables.database }}", "snowflake ORG-B STREAMING_OPS"),
        ("{{ env_var('DBT_ENV_SECRET_X') }}", "snowflake ORG-B STREAMING_OPS"),
        ("{{ ''.__class__.__mro__ }}", "snowflake ORG-B STREAMING_OPS"),
    ],
)
def test_the_profile_says_where(database: str, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in (SNOWFLAKE | {"DBT_ENV_SECRET_X": "s3cr3t"}).items():
        monkeypatch.setenv(name, value)
    output = f'{{type: snowflake, account: ORG-B, database: "{database}"}}'
    _profile(tmp_path, monkeypatch, f"streaming_ops: {{outputs: {{snowflake: {output}}}}}")
    assert origin() == expected


@pytest.mark.parametrize(
    ("target", "meant"), [("lokal", "local"), ("snowflak", "snowflake"), ("prod", "local"), ("T0ken", "local")]
)
def test_a_target_that_is_not_there_has_the_origin_of_the_one_that_is_meant(
    target: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_TARGET", meant)
    corrected = origin()
    monkeypatch.setenv("DBT_TARGET", target)
    assert origin() == corrected


def test_an_account_from_a_secret_of_aws_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that has dbt fetches it, and the one that reports faults does not."""
    monkeypatch.setenv("DBT_TARGET", "snowflake")
    monkeypatch.setenv("SNOWFLAKE_SECRET_ID", "snowflake/ops")
    before = origin()
    fetched = {"account": "ORG-A", "user": "me", "private_key": "s3cr3t", "database": "STREAMING_OPS"}
    monkeypatch.setattr(credentials, "_fetch", lambda *_: fetched)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    credentials.fetch_snowflake_secret(Settings())
    assert os.environ["SNOWFLAKE_ACCOUNT"] == "ORG-A"
    assert origin() == before == "snowflake snowflake/ops"
    FETCHED.clear()


def test_it_is_the_same_in_another_process_and_needs_neither_dbt_nor_prefect() -> None:
    code = "import sys; from orchestration.origin import origin; print(origin(), {'dbt', 'prefect'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True, check=True)
    assert run.stdout == f"{origin()} set()\n"
