"""Files that people edit: how a spreadsheet saves them, what dbt makes of them, and what is said of a mistake."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestration import seeds, steps
from orchestration.receivers import RECEIVERS
from orchestration.runner import Dbt
from orchestration.seeds import Alert
from tests.python.warehouse import PROJECT_DIR, T0, Warehouse

LIMITS = {
    "warn_above": "{{ var('consumer_lag_warn_events') }}",
    "error_above": "{{ var('consumer_lag_error_events') }}",
}
ALERTS = [
    Alert("partition_stalled", "data-engineering", ["kafka"], "models/x.yml", {}),
    Alert("consumer_lag_above_limit", "data-engineering", [], "models/x.yml", LIMITS),
]
TOPICS, CONNECTORS = "topic,partitions,consumer_group,connector\n", "connector,tasks\n"
ROUTES, SILENCES = "receiver,severity,owner,tag,channel\n", "alert,entity,starts_at,ends_at,created_by,comment\n"
ORDERS = "orders,6,connect-snowflake-orders-sink,snowflake-orders-sink\n"
SOON = "2026-03-02 12:00,2026-03-02 14:00,me,why\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(PROJECT_DIR / "seeds", tmp_path / "seeds")
    shutil.copy(PROJECT_DIR / "dbt_project.yml", tmp_path)
    for name in ("macros", "models", "tests", "profiles.example.yml"):
        (tmp_path / name).symlink_to(PROJECT_DIR / name)
    return tmp_path


def _found(project: Path) -> list[str]:
    return [str(finding) for finding in seeds.findings(project, RECEIVERS, ALERTS)]


def test_the_projects_own_files_have_no_findings(project: Path) -> None:
    assert _found(project) == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("alert_routes", ROUTES + "slak,,,,\nlog,,,,\n", "line 2: there is no receiver 'slak'; did you mean 'slack'?"),
        ("alert_routes", ROUTES + "slack,eror,,,\n", "line 2: there is no severity 'eror'; did you mean 'error'?"),
        ("alert_routes", ROUTES + "slack,,sales,,\n", "line 2: no alert has the owner 'sales'"),
        ("alert_routes", ROUTES + "slack,,,kafkaa,\n", "line 2: no alert has the tag 'kafkaa'; did you mean 'kafka'?"),
        ("alert_routes", ROUTES, "line 1: no route leads to a receiver, and no alert is sent"),
        ("alert_routes", ROUTES + "slak,,,,\n", "line 1: no route leads to a receiver"),
        ("expected_topics", TOPICS + "orders,6,g,sink\n", "line 2: connector 'sink' is not in seeds/expected_conn"),
        ("expected_topics", TOPICS + ORDERS.replace("6", "six"), "line 2: partitions is 'six': write a whole number"),
        ("expected_topics", TOPICS + ORDERS.replace("6", "0"), "line 2: partitions is '0': write a whole number from"),
        ("expected_topics", TOPICS + ORDERS.replace("6", ""), "line 2: partitions is empty"),
        ("expected_topics", TOPICS + ORDERS * 2, "line 3: orders connect-snowflake-orders-sink is in line 2 already"),
        ("expected_connectors", CONNECTORS + "snowflake-orders-sink,-1\n", "line 2: tasks is '-1'"),
        ("silences", SILENCES + "partition_stal,*," + SOON, "line 2: no alert has the name 'partition_stal': "
            "this silence mutes nothing; did you mean 'partition_stalled'?"),
        ("silences", SILENCES + "*,a,2026-03-02 14:00+02,2026-03-09,me,why\n", "line 2: starts_at is '2026-03-02 14:"),
        ("silences", SILENCES + "*,a,2026-03-02T14:00+0200,2026-03-09,me,why\n", "line 2: starts_at is '2026-03-02T14:"
            "00+0200', and the row has no effect: write it as 2026-03-02 14:00 (UTC) or, with an offset, as 2026-03-02T"
            "14:00:00+02:00"),
        ("silences", SILENCES + "*,*,2026-03-02 14:00,2026-03-02 12:00,me,why\n", "line 2: ends_at is not after star"),
        ("silences", SILENCES + "\n,,,,,\n*,a,02.03.2026,2026-03-02,me,why\n", "line 4: starts_at is '02.03.2026', "),
        ("silences", SILENCES + "*,a,2026-03-02,2026-02-30,me,why\n", "line 2: ends_at is '2026-02-30', and the row"),
        ("silences", SILENCES + "*,a,2026-03-02,,me,why\n", "line 2: ends_at is empty"),
        ("silences", SILENCES + "*,*,2026-03-02,2026-05-02,me,why\n", "line 2: it mutes every alert for more than 31"),
        ("silences", SILENCES + "*_*,,2026-03-02,2026-05-02,me,why\n", "line 2: it mutes every alert for more than 31"),
        ("silences", SILENCES + ",,2026-03-02,9999-12-31,me,why\n", "line 2: ends_at is '9999-12-31', and the row has"),
        ("silences", SILENCES + '*,a,2026-03-02,2026-03-03,me,"two\nlines"\nx,' + SOON, "line 4: has 5 cells, the"),
        ("silences", SILENCES + "*,a,2026-03-02,2026-03-03,me,broken, again\n", "line 2: has 7 cells, the header has"),
        ("silences", SILENCES.replace(",", ";"), "line 1: its columns are separated by semicolons: save it as CSV"),
        ("silences", SILENCES.replace(",", "\t"), "line 1: its columns are separated by tabs: save it as CSV"),
        ("silences", SILENCES.replace("entity", "entiti"), "line 1: column entity is missing, column 'entiti' is"),
        ("silences", SILENCES.replace("\n", ",\n"), "line 1: column 7 has no name"),
        ("silences", SILENCES.replace("\n", ",alert\n"), "line 1: column alert is there twice"),
        ("silences", (SILENCES + "*,a," + SOON.replace("why", "müde")).encode("cp1252"), "line 2: a character is not"),
        ("silences", None, "line 1: cannot be read: No such file or directory"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_file_and_line(
    name: str, content: str | bytes | None, said: str, project: Path
) -> None:
    file = project / "seeds" / f"{name}.csv"
    file.unlink()
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = _found(project)
    assert any(text.startswith(f"seeds/{name}.csv {said}") for text in found), found


def test_the_parsed_projects_alerts_are_compared_with_the_files(warehouse: Warehouse) -> None:
    assert steps.seed_findings() == []
    alerts = {alert.name: alert for alert in steps.parsed_alerts()}
    assert alerts["consumer_lag_above_limit"].owner == "data-engineering"
    assert alerts["consumer_lag_above_limit"].arguments.items() >= LIMITS.items()


def test_limits_that_are_in_the_wrong_order_are_named(project: Path) -> None:
    file = project / "dbt_project.yml"
    given = file.read_text()
    file.write_text(given.replace("consumer_lag_warn_events: 10000", "consumer_lag_warn_events: 100000"))
    line = next(n for n, text in enumerate(given.splitlines(), 1) if "consumer_lag_warn_events:" in text)
    said = (
        "consumer_lag_warn_events (100000) is above consumer_lag_error_events (50000): consumer_lag_above_limit never"
    )
    assert _found(project) == [f"dbt_project.yml line {line}: {said} warns"]
    below = Alert("a", "", [], "dbt_project.yml", {"warn_below": 1, "error_below": "2"})
    (found,) = [str(f) for f in seeds.findings(project, RECEIVERS, [below]) if "never warns" in f.text]
    assert found == "dbt_project.yml line 1: warn (1) is below error (2): a never warns"


WHOLE = "; nothing of this file is loaded until then"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1: has no header: write alert,entity,starts_at,ends_at,created_by,comment" + WHOLE),
        (b"\n,,\n", "line 1: has no header: write alert,entity,starts_at,ends_at,created_by,comment" + WHOLE),
        (SILENCES.replace(",", ";").encode(), "line 1: its columns are separated by semicolons: save it as CSV with"),
        (SILENCES.replace("alert,entity", "x,y").encode(), "line 1: column alert is missing, column entity is missing"),
        ((SILENCES + "*,a,2026-03-02,2026-03-03,me,a, b\n").encode(), "line 2: has 7 cells, the header has 6: put"),
        ((SILENCES + "*,a,2026-03-02,2026-03-03,me,ü\n").encode("cp1252"), "line 2: a character is not UTF-8: save"),
    ],
)  # fmt: skip
def test_a_mistake_that_disables_the_whole_file_says_so(content: bytes, said: str, project: Path) -> None:
    (project / "seeds" / "silences.csv").write_bytes(content)
    (found,) = _found(project)
    assert found.startswith(f"seeds/silences.csv {said}")
    assert found.endswith(WHOLE)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("dbt_project.yml", "name: x\nvars: {a: 1\n", "line 3: is no YAML: expected ',' or '}'"),
        ("dbt_project.yml", "name: x\nvars:\n  a: 1\n b: 2\n", "line 4: is no YAML: "),
        ("dbt_project.yml", "name: x\n", "line 1: lacks 'vars'"),
        ("dbt_project.yml", "name: x\nvars:\n", "line 1: has a value where a mapping or a list belongs, or none"),
        ("dbt_project.yml", "", "line 1: has a value where"),
        ("dbt_project.yml", b"\xff", "line 1: is no YAML: "),
        ("dbt_project.yml", None, "line 1: cannot be read: No such file or directory"),
        ("seeds/_seeds.yml", "seeds: [\n", "line 2: is no YAML: "),
        ("seeds/_seeds.yml", "seeds:\n  - name: silences\n", "line 1: lacks 'config'"),
        ("seeds/_seeds.yml", "seeds: []\n", "line 1: lacks 'expected_topics'"),
        ("seeds/_seeds.yml", "seeds:\n", "line 1: has a value where"),
        ("seeds/_seeds.yml", "seeds: [{name: a, config: []}]", "line 1: has a value where"),
        ("seeds/_seeds.yml", None, "line 1: cannot be read: No such file or directory"),
    ],
)
def test_yaml_that_is_malformed_is_a_finding(name: str, content: str | bytes | None, said: str, project: Path) -> None:
    (project / name).unlink()
    if content is not None:
        (project / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (found,) = _found(project)
    assert found.startswith(f"{name} {said}"), found
    assert bool(seeds.rows(project, "expected_topics")) == (name == "dbt_project.yml")


def test_a_variable_that_nothing_reads_is_named(project: Path) -> None:
    file = project / "dbt_project.yml"
    given = file.read_text()
    line = given.splitlines().index("  lag_window_minutes: 60") + 1
    file.write_text(given.replace("  lag_window_minutes: 60", "  lag_window_minutess: 60\n  xyz: 1"))
    assert _found(project) == [
        f"dbt_project.yml line {line}: nothing reads the variable 'lag_window_minutess'; "
        "did you mean 'lag_window_minutes'?",
        f"dbt_project.yml line {line + 1}: nothing reads the variable 'xyz'",
    ]


def test_agates_guesses_are_not_printed() -> None:
    code = "import warnings, agate, orchestration.runner; agate.Table([], ['a', 'a']); warnings.warn('ours')"
    ran = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True, check=True)
    assert "ours" in ran.stderr
    assert "agate" not in ran.stderr.replace(code, "")


@pytest.mark.parametrize("cell", ["2026-03-02T14:00:00+02:00", "2026-03-02", " 2026-03-02 14:00 ", "2026-03-02T14:00Z"])
def test_a_time_may_have_an_offset_or_blanks(cell: str, project: Path) -> None:
    (project / "seeds" / "silences.csv").write_text(f"{SILENCES}*,a,{cell},2026-03-09,me,why\n")
    assert _found(project) == []


def test_a_row_is_added_by_the_header(project: Path) -> None:
    file = project / "seeds" / "silences.csv"
    file.write_bytes("\ufeffComment ,alert,entity,ends_at,starts_at,created_by".encode())
    cells = {"alert": "partition_*", "starts_at": "2026-03-02", "ends_at": "2026-03-03", "comment": "é, ü"}
    seeds.add_row(project, "silences", cells)
    assert _found(project) == []
    assert seeds.rows(project, "silences") == [cells | {"entity": "", "created_by": ""}]


# As spreadsheets save them: a byte order mark, CRLF, blanks, empty rows, and the columns in another order.
MESSY = {
    "expected_topics": "\ufefftopic, partitions ,Connector,consumer_group\r\n orders ,6 ,snowflake-orders-sink,"
    "connect-snowflake-orders-sink\r\n,,,\r\nreturns,six,,g\r\n",
    "expected_connectors": "tasks,connector\r\n, snowflake-orders-sink\t\r\n , \r\n",
    "silences": "comment,alert,entity,ends_at,starts_at,created_by\r\n"
    "it's 5\\5,partition_* ,,2026-03-02T14:00:00+02:00,2026-03-02,me\r\nx,*,,02.03.2026,2026-03-02,me\r\n",
}


def _project(tmp_path: Path, messy: dict[str, str]) -> Path:
    for folder in ("macros", "models", "seeds", "tests"):
        shutil.copytree(PROJECT_DIR / folder, tmp_path / folder)
    shutil.copy(PROJECT_DIR / "dbt_project.yml", tmp_path)
    for name, content in messy.items():
        (tmp_path / "seeds" / f"{name}.csv").write_bytes(content.encode())
    return tmp_path


def test_dbt_reads_the_seeds_as_a_spreadsheet_saves_them(warehouse: Warehouse, tmp_path: Path) -> None:
    folder = tmp_path / "it's a project"
    dbt = Dbt(_project(folder, MESSY))

    def rows(name: str, columns: str) -> list[dict[str, Any]]:
        return dbt.query(f"select {columns} from {{{{ ref('{name}') }}}} order by 1", T0)

    outcomes = dbt.build("resource_type:seed silence_patterns tag:monitoring", T0)
    assert [str(outcome) for outcome in outcomes if outcome.is_broken] == []
    sink = {"connector": "snowflake-orders-sink"}
    orders = {"topic": "orders", "partitions": 6, "consumer_group": "connect-snowflake-orders-sink"} | sink
    returns = {"topic": "returns", "partitions": None, "consumer_group": "g", "connector": None}
    assert rows("expected_topics", "*") == [orders, returns]
    assert rows("expected_connectors", "*") == [sink | {"tasks": None}]
    assert rows("silences", "comment, cast(starts_at as varchar) as a, cast(ends_at as varchar) as b") == [
        {"comment": "it's 5\\5", "a": "2026-03-02 00:00:00", "b": "2026-03-02 12:00:00"},
        {"comment": "x", "a": "2026-03-02 00:00:00", "b": None},
    ]
    assert [str(finding).split(":")[0] for finding in seeds.findings(folder, RECEIVERS, ALERTS)] == [
        "seeds/expected_topics.csv line 4",
        "seeds/silences.csv line 3",
    ]

    many = "namespace(column_names=['a'], rows=[['1']] * 10001)"
    sizes = f"{{{{ seed_chunks({many}, {{'a': 'integer'}}) | map('length') | join(' and ') }}}}"
    assert dbt.query(f"select '{sizes}' as sizes", T0) == [{"sizes": "10000 and 1"}]

    for content, said in (
        (TOPICS.replace(",", ";"), "seeds/expected_topics.csv: its columns are not separated by commas"),
        (TOPICS.replace("partitions", "partition"), "column partitions is missing; column partition is unknown"),
        (" topic,partitions,consumer_group,connector\n007,1,,\n", "remove the blanks around topic, a column of text"),
    ):
        (folder / "seeds" / "expected_topics.csv").write_text(content)
        built = dbt.build("expected_topics", T0, "--indirect-selection", "empty")
        (outcome,) = [outcome for outcome in built if outcome.resource_type == "seed"]
        assert outcome.status == "error"
        assert said in outcome.message
