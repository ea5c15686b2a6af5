"""Settings: what a wrong one stops, how it is reported, and how commands behave in any locale."""

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dbt.exceptions import RequiredVarNotFoundError
from dotenv import dotenv_values

from orchestration.__main__ import _is_shown
from orchestration.outcomes import DbtError
from orchestration.process import Session
from orchestration.receivers import RECEIVERS
from orchestration.runner import Dbt, _clean
from orchestration.settings import DotEnv, Settings, evaluation_interval, prefect_api
from tests.python.warehouse import PROJECT_DIR, T0

_TEXTS = {
    "SLACK_WEBHOOK_URL": "s3cr3t",
    "SLACK_BOT_TOKEN": "s3cr3t with a\nline",
    "SLACK_API_URL": "slack",
    "PAGERDUTY_ROUTING_KEY": "s3cr3t ",
    "PAGERDUTY_URL": "http://events.pagerduty.com",
    "ALERT_WEBHOOK_URL": "s3cr3t.example.com/path",
    "ALERT_WEBHOOK_TOKEN": "s3cr3t s3cr3t",
    "PREFECT_NOTIFICATION_BLOCK": "mailto://me:s3cr3t@example.com",
    "HEARTBEAT_URL": "s3cr3t",
    "STREAMING_OPS_WAIT_MINUTES": "inf",
    "STREAMING_OPS_HANG_MINUTES": "nan",
    "STREAMING_OPS_MIN_EVENTS": "ten",
    "STREAMING_OPS_DOCS_URL": "xoxb-s3cr3t",
    "STREAMING_OPS_RUNBOOK_URL": "me:s3cr3t@host",
    "STREAMING_OPS_DUCKDB_PATH": "/nowhere/x.duckdb",
    "STREAMING_OPS_SCHEMA_PREFIX": "ana-",
    "SNOWFLAKE_SECRET_ID": '{"private_key": "s3cr3t"}',
}


@pytest.mark.parametrize("variable", _TEXTS)
def test_a_wrong_setting_is_one_problem_and_has_its_default(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    default = Settings().model_dump()
    monkeypatch.setenv(variable, _TEXTS[variable])
    settings = Settings()
    assert settings.model_dump() == default
    (problem,) = settings.problems
    assert (problem.variable, problem.source) == (variable, "the environment")
    assert str(problem).startswith(f"{variable} ")
    assert ": it must be " in str(problem)
    assert "s3cr3t" not in str(problem)
    assert "\n" not in str(problem)


def test_all_wrong_settings_are_reported_and_the_right_ones_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, text in _TEXTS.items():
        monkeypatch.setenv(variable, text)
    monkeypatch.setenv("ALERT_WEBHOOK_URL", "https://example.com/hook")
    monkeypatch.delenv("ALERT_WEBHOOK_TOKEN")
    settings = Settings()
    assert {problem.variable for problem in settings.problems} == _TEXTS.keys() - {
        "ALERT_WEBHOOK_URL",
        "ALERT_WEBHOOK_TOKEN",
    }
    assert [name for name, receiver in RECEIVERS.items() if receiver.is_configured(settings)] == ["webhook"]


def test_a_problem_names_value_place_and_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMING_OPS_MIN_EVENTS", "ten\x1b[2J" + "x " * 250)
    assert str(Settings().problems[0]) == (
        f"STREAMING_OPS_MIN_EVENTS is 'ten\\x1b[2J{'x ' * 26}x...' (the environment): it must be a whole number of at "
        "least 1; 1 is used."
    )


@pytest.mark.parametrize(
    ("address", "credential"),
    [
        ("SLACK_API_URL", "SLACK_BOT_TOKEN"),
        ("PAGERDUTY_URL", "PAGERDUTY_ROUTING_KEY"),
        ("ALERT_WEBHOOK_TOKEN", "ALERT_WEBHOOK_URL"),
    ],
)
def test_a_receiver_is_not_asked_elsewhere(monkeypatch: pytest.MonkeyPatch, address: str, credential: str) -> None:
    monkeypatch.setenv(address, "no address\n")
    monkeypatch.setenv(credential, "https://example.com/x")
    settings = Settings()
    assert not any(receiver.is_configured(settings) for receiver in RECEIVERS.values())
    assert f"{credential} is not used" in str(settings.problems[0])


def test_a_run_goes_on_with_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMING_OPS_MIN_EVENTS", "ten")
    monkeypatch.setenv("STREAMING_OPS_HANG_MINUTES", "x")
    assert Settings().streaming_ops_min_events == 1
    assert Session("tick")._hang_minutes == 20


@pytest.mark.parametrize(
    ("variable", "text", "target"),
    [
        ("STREAMING_OPS_SCHEMA_PREFIX", "ana-", "local"),
        ("STREAMING_OPS_DUCKDB_PATH", "/nowhere/x.duckdb", "local"),
        ("STREAMING_OPS_DUCKDB_PATH", "/tmp", "local"),
        ("SNOWFLAKE_SECRET_ID", "{", "snowflake"),
    ],
)
def test_no_other_warehouse_is_used_instead(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, target: str
) -> None:
    monkeypatch.setenv("DBT_TARGET", target)
    monkeypatch.setenv(variable, text)
    with pytest.raises(DbtError, match=rf"^{variable} .*: it must be .*; until then no run uses a warehouse\.$"):
        Dbt()


def test_an_empty_setting_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_TARGET", "")
    monkeypatch.setenv("STREAMING_OPS_DUCKDB_PATH", "")
    monkeypatch.setenv("STREAMING_OPS_MIN_EVENTS", "")
    Dbt()
    assert "DBT_TARGET" not in os.environ
    assert os.environ["STREAMING_OPS_DUCKDB_PATH"] == str(PROJECT_DIR / "warehouse.duckdb")
    assert Settings().problems == []


def test_a_target_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_TARGET", "prod")
    with pytest.raises(DbtError) as error:
        Dbt()
    assert str(error.value) == (
        "DBT_TARGET is 'prod' (the environment): the targets of profiles.yml are local and snowflake."
    )


@pytest.mark.parametrize("address", ["localhost:4200", "ftp://x", "http://"])
def test_an_address_of_prefect_that_is_none_is_one_sentence(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("PREFECT_API_URL", address)
    from prefect.context import refresh_global_settings_context

    try:
        refresh_global_settings_context()
        with pytest.raises(ValueError, match=rf"^PREFECT_API_URL is '{address}' \(the environment\): it must be"):
            prefect_api()
    finally:
        monkeypatch.delenv("PREFECT_API_URL")
        refresh_global_settings_context()


_MISSPELT = {
    "SLACK_WEBHOK_URL": "SLACK_WEBHOOK_URL",
    "STREAMING_OPS_MIN_EVENT": "STREAMING_OPS_MIN_EVENTS",
    "SNOWFLAKE_SECRET_IDS": None,
    "AWS_REGIONS": None,
    "MY_URL": None,
}


@pytest.fixture
def dot_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Reads a `.env` of that content; what it puts into the environment is taken away again."""

    def read(content: bytes) -> DotEnv:
        for name in ("FIRST", "SECOND", "STREAMING_OPS_MIN_EVENTS", *_MISSPELT):
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
        (tmp_path / ".env").write_bytes(content)
        found = DotEnv(tmp_path / ".env")
        monkeypatch.setattr("orchestration.settings.DOT_ENV", found)
        return found

    return read


_LINES = "# Käse\r\n\r\nexport FIRST='a b'\r\nSECOND=\"é\" # why\r\n"


@pytest.mark.parametrize(
    "content",
    [_LINES.encode(), b"\xef\xbb\xbf" + _LINES.encode(), _LINES.encode("utf-16"), _LINES.replace("\r", "").encode()],
    ids=["CRLF", "byte order mark", "UTF-16", "LF"],
)
def test_a_dot_env_is_read_however_an_editor_saves_it(dot_env: Any, content: bytes) -> None:
    found = dot_env(content)
    assert found.problems == []
    assert (os.environ["FIRST"], os.environ["SECOND"]) == ("a b", "é")
    assert (found.source("FIRST"), found.source("SECOND")) == (".env line 3", ".env line 4")
    os.environ["FIRST"] = "another"
    assert found.source("FIRST") == "the environment"


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"FIRST=s3cr3t\n\n\n'x\nSECOND=b\n", "line 4"),
        (b'FIRST="s3cr3t\nSECOND=b\n', "line 1"),
        (b"# K\xe4se\nSECOND=b\nFIRST=s3cr3t\xe4\n", "line 3"),
        (_LINES.encode("utf-16-le"), "the whole file"),
        (b"'A=B'=s3cr3t\nSECOND=b\n", "line 1"),
        (b"'A B'=s3cr3t\nSECOND=b\n", "line 1"),
        (b"SECOND=b\n\nALERT_WEBHOOK_URL\n", "line 3"),
        (b"SECOND=b\nexport SECOND\n", "line 2"),
    ],
)
def test_a_line_that_cannot_be_read_is_one_problem(dot_env: Any, content: bytes, where: str) -> None:
    dot_env(content)
    (problem,) = Settings().problems
    assert (problem.variable, problem.source) == (".env", where)
    assert "s3cr3t" not in str(problem)
    assert os.environ.get("SECOND") == (None if where == "the whole file" else "b")


@pytest.mark.parametrize(("name", "meant"), _MISSPELT.items())
def test_a_misspelt_name_is_one_problem(dot_env: Any, name: str, meant: str | None) -> None:
    dot_env(f"{name}=s3cr3t\n".encode())
    expected = [f"{name} cannot be used (.env line 1): nothing reads it; did you mean {meant}?"] if meant else []
    assert [str(problem) for problem in Settings().problems] == expected


def test_a_name_may_be_in_small_letters(dot_env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("streaming_ops_docs_url", "")
    monkeypatch.delenv("streaming_ops_docs_url")
    dot_env(b"streaming_ops_docs_url=http://example.com\n")
    assert Settings().problems == []
    assert str(Settings().streaming_ops_docs_url) == "http://example.com/"


def test_only_the_project_reports_a_line_that_cannot_be_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Prefect's settings read the file too, each class of them."""
    (tmp_path / ".env").write_text("FIRST='x\n")
    dotenv_values(tmp_path / ".env")
    assert caplog.messages == []


def test_a_key_in_the_place_of_another_value_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMING_OPS_MIN_EVENTS", "key=s3cr3t_0123456789-abcdef")
    assert "s3cr3t" not in str(Settings().problems[0])


def test_a_dot_env_that_is_a_folder_is_one_problem(tmp_path: Path) -> None:
    (problem,) = DotEnv(tmp_path).problems
    assert str(problem) == ".env cannot be used (the whole file): Is a directory; nothing of it is used."


def test_a_wrong_setting_of_the_dot_env_has_its_line(dot_env: Any) -> None:
    dot_env(b"FIRST=1\n\nSTREAMING_OPS_MIN_EVENTS=ten\n")
    assert "STREAMING_OPS_MIN_EVENTS is 'ten' (.env line 3): it must be" in str(Settings().problems[0])


def test_a_misspelt_variable_does_not_print_all_others() -> None:
    variables = {"lag_window_minutes": 60, "payload_fields": {"a": "text"}, **{f"v{n}": n for n in range(90)}}
    error = RequiredVarNotFoundError("lag_window_minute", variables, SimpleNamespace(name="lag", resource_type="model"))
    said = _clean(f"Compilation Error in model lag (models/lag.sql)\n  {error!s}\n  > in macro m (macros/m.sql)")
    assert "lag uses the variable lag_window_minute, which is not in dbt_project.yml: is it lag_window_minutes?" in said
    assert "models/lag.sql" in said
    assert "macros/m.sql" in said
    assert "v17" not in said


def test_a_line_of_an_error_is_of_bounded_length() -> None:
    assert len(_clean("x" * 100_000)) < 1100


@pytest.mark.parametrize(
    ("name", "level", "text", "shown"),
    [
        ("orchestration.runs", logging.ERROR, "collect: no", False),
        ("prefect.flow_runs", logging.INFO, "Finished in state Failed('no')", False),
        ("prefect.flow_runs", logging.INFO, "Finished in state Completed()", True),
        ("orchestration.runner.nodes", logging.ERROR, "1 of 9 ERROR", False),
        ("orchestration.runner", logging.INFO, "dbt build: 1 success", True),
    ],
)
def test_the_console_shows_an_error_at_the_end_only(name: str, level: int, text: str, shown: bool) -> None:
    record = logging.LogRecord(name, level, "", 0, text, (), None)
    assert _is_shown(record, nodes=False, errors=False) is shown


def test_the_interval_is_read_as_utf_8(tmp_path: Path) -> None:
    (tmp_path / "dbt_project.yml").write_bytes("vars: {é: 1, evaluation_interval_minutes: 5}".encode())
    assert evaluation_interval(tmp_path).total_seconds() == 300


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0"}
_TRACED = {"PYTHONPROFILEIMPORTTIME": "1"}


class Copy:
    """A copy of the project, whose files a command may change."""

    def __init__(self, directory: Path, warehouse: Path) -> None:
        self.directory = directory
        for name in ("models", "macros", "seeds", "tests", "orchestration"):
            ignored = shutil.ignore_patterns("__pycache__", "kafka")
            shutil.copytree(PROJECT_DIR / name, directory / name, ignore=ignored)
        shutil.copy(PROJECT_DIR / "dbt_project.yml", directory)
        shutil.copy(PROJECT_DIR / "profiles.example.yml", directory / "profiles.yml")
        shutil.copy(warehouse, directory / "warehouse.duckdb")

    def run(self, *command: str | bytes, **environment: str) -> subprocess.CompletedProcess[str]:
        mine = ("DBT_", "STREAMING_OPS_", "PYTHON", "LC_", "LANG")
        others = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
        return subprocess.run(
            [sys.executable, "-m", "orchestration", *command],
            cwd=self.directory,
            env=others | environment,
            capture_output=True,
            check=False,
            encoding="utf-8",
            umask=0o022,
        )

    def modes(self, folder: str) -> set[int]:
        return {path.stat().st_mode & 0o777 for path in (self.directory / folder).rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory, base_warehouse: Path) -> Copy:
    return Copy(tmp_path_factory.mktemp("é") / "project", base_warehouse)


def _imports(ended: subprocess.CompletedProcess[str]) -> set[str]:
    lines = [line for line in ended.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_a_silence_is_utf_8_in_any_locale(copy: Copy) -> None:
    (copy.directory / ".env").write_text("STREAMING_OPS_MIN_EVENTS=ten\nSLACK_CHANNEL=é\n", "utf-8")
    added = copy.run("silence", "é", "--alert", "partition_*", "--by", b"\xe9", **ASCII)
    assert added.returncode == 0, added.stderr[-2000:]
    # Once, whichever process reads it.
    assert (added.stdout + added.stderr).count("STREAMING_OPS_MIN_EVENTS is 'ten' (.env line 1)") == 1
    assert (copy.directory / "seeds" / "silences.csv").read_text("utf-8").endswith(",é,é\n")
    refused = copy.run("tick", "--as-of", "é", **ASCII)
    assert "it is '\\xe9'" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_status_needs_no_prefect_and_makes_files_for_its_user_alone(copy: Copy) -> None:
    (copy.directory / "warehouse.duckdb").chmod(0o640)
    shown = copy.run("status", "--as-of", T0, **ASCII, **_TRACED)
    assert "Stream health" in shown.stdout, shown.stderr[-2000:]
    assert "dbt" in (imports := _imports(shown))
    assert "prefect" not in imports
    assert (copy.directory / "warehouse.duckdb").stat().st_mode & 0o777 == 0o640
    assert (copy.directory / "warehouse.duckdb.lock").stat().st_mode & 0o777 == 0o600
    assert copy.modes("target") == {0o600}


@pytest.mark.parametrize(
    "command",
    [
        ("tick", "--as-of", "nonsense"),
        ("status", "--as-of", "2999-01-01"),
        ("backfill", "--from", "x", "--to", "y"),
        ("silence", "why", "--alert", "*", "--from", "x"),
    ],
)
def test_a_refused_instant_costs_next_to_nothing(copy: Copy, command: tuple[str, ...]) -> None:
    refused = copy.run(*command, **_TRACED)
    assert refused.returncode == 1
    assert "ValueError: " in refused.stderr
    assert not {"dbt", "prefect", "duckdb"} & _imports(refused)
