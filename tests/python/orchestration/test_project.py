"""What CONTRIBUTING.md promises of the dbt project, read from its manifest."""

import re
from typing import Any

import pytest
import yaml

from orchestration.runner import Dbt
from tests.python.warehouse import PROJECT_DIR


@pytest.fixture(scope="module")
def manifest(_environment: None) -> Any:
    from dbt.cli.main import dbtRunner

    where = ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(Dbt().profiles_dir)]
    parsed = dbtRunner().invoke(["--quiet", "parse", *where])
    assert parsed.success, parsed.exception
    return parsed.result


def _own(nodes: Any, *types: str) -> list[Any]:
    return [n for n in nodes.values() if n.package_name == "streaming_ops" and n.resource_type in types]


def _alerts(manifest: Any) -> list[Any]:
    return [node for node in _own(manifest.nodes, "test") if "alert" in node.tags]


def test_everything_is_described(manifest: Any) -> None:
    bare = [n.unique_id for n in _own(manifest.nodes, "model", "seed") if not n.description.strip()]
    bare += [
        f"{n.unique_id}.{c.name}"
        for n in _own(manifest.nodes, "model", "seed")
        for c in n.columns.values()
        if not c.description.strip()
    ]
    bare += [f"{s.unique_id}" for s in manifest.sources.values() if not s.description.strip()]
    bare += [
        m.unique_id
        for m in _own(manifest.macros, "macro")
        if not m.description.strip() and "__" not in m.name and not m.name.startswith("test_")
    ]
    bare += [
        f"{m.unique_id}({a.name})"
        for m in _own(manifest.macros, "macro")
        for a in m.arguments
        if not a.description.strip()
    ]
    assert bare == []


def test_every_model_declares_its_columns(manifest: Any) -> None:
    loose = [
        n.name
        for n in _own(manifest.nodes, "model")
        if not n.columns or any(not c.data_type for c in n.columns.values())
    ]
    assert loose == []
    unenforced = [
        n.name for n in _own(manifest.nodes, "model") if not n.name.startswith("stg_") and not n.contract.enforced
    ]
    assert unenforced == []


def test_every_alert_says_what_it_means_and_what_to_type(manifest: Any) -> None:
    assert len(_alerts(manifest)) >= 10
    for alert in _alerts(manifest):
        assert {"channel", "owner", "runbook"} <= set(alert.config.meta), alert.name
        assert "Likely causes:" in alert.description and "First command:" in alert.description, alert.name


def test_every_alert_has_a_scenario_in_the_file_of_its_view(manifest: Any) -> None:
    for alert in _alerts(manifest):
        view = manifest.nodes[alert.attached_node].name
        scenarios = (PROJECT_DIR / "tests" / "python" / "scenarios" / f"test_{view}.py").read_text()
        assert re.search(rf'"{alert.name}": "(warn|fail)"', scenarios), f"{alert.name}: no scenario in test_{view}.py"


def test_no_test_imports_another_test() -> None:
    files = (PROJECT_DIR / "tests" / "python").rglob("*.py")
    assert [f.name for f in files if re.search(r"^\s*(from|import) \S*\btest_", f.read_text(), re.MULTILINE)] == []


def test_alerts_sit_on_leaves(manifest: Any) -> None:
    watched = {node for alert in _alerts(manifest) for node in alert.depends_on.nodes if node.startswith("model.")}
    parents = {p for n in _own(manifest.nodes, "model") for p in n.depends_on.nodes}
    assert watched & parents == set()


def test_no_model_is_rebuilt_by_every_run(manifest: Any) -> None:
    # full_refresh: true does not allow a full refresh, it makes each run one.
    assert [n.name for n in _own(manifest.nodes, "model") if n.config.full_refresh] == []


def test_models_do_not_ask_which_engine_they_run_on() -> None:
    files = [*(PROJECT_DIR / "models").rglob("*.sql"), *(PROJECT_DIR / "tests" / "dbt").rglob("*.sql")]
    assert files
    assert [f.name for f in files if re.search(r"target\.(type|name)|adapter\.type", f.read_text())] == []


def test_only_one_macro_reads_a_clock() -> None:
    files = [
        *(PROJECT_DIR / "models").rglob("*.sql"),
        *(PROJECT_DIR / "macros").rglob("*.sql"),
        *(PROJECT_DIR / "tests" / "dbt").rglob("*.sql"),
    ]
    clocks = r"run_started_at|current_timestamp|now\(\)|getdate|sysdate|utcnow"
    # A lease is about processes, not about data: it expires by the warehouse's clock.
    read = {f.name for f in files if re.search(clocks, f.read_text(), re.IGNORECASE)}
    assert read == {"as_of.sql", "leases.sql"}


def test_the_readme_lists_every_alert_with_its_limits(manifest: Any) -> None:
    readme = (PROJECT_DIR / "README.md").read_text()
    variables = yaml.safe_load((PROJECT_DIR / "dbt_project.yml").read_text())["vars"]
    for alert in _alerts(manifest):
        rows = [line for line in readme.splitlines() if line.startswith("|") and f"`{alert.name}`" in line]
        assert len(rows) == 1, f"README.md: one row of the table of alerts is due to {alert.name}, not {len(rows)}"
        row = rows[0]
        arguments = alert.test_metadata.kwargs
        for key in ("warn_above", "error_above", "warn_below", "error_below"):
            if key in arguments:
                name = re.search(r"var\('(\w+)'\)", arguments[key])
                assert name, f"{alert.name}: {key} is not a variable of dbt_project.yml"
                assert f"{variables[name[1]]:,}" in row, f"README: {alert.name} lacks {key} {variables[name[1]]:,}"


def test_every_setting_is_in_the_readme() -> None:
    from orchestration.settings import Settings

    readme = (PROJECT_DIR / "README.md").read_text()
    assert [n for n in Settings.model_fields if f"`{n.upper()}`" not in readme] == []


def test_every_variable_is_read_by_something() -> None:
    variables = yaml.safe_load((PROJECT_DIR / "dbt_project.yml").read_text())["vars"]
    text = "".join(f.read_text() for folder in ("models", "macros") for f in (PROJECT_DIR / folder).rglob("*.*"))
    assert [name for name in variables if f"'{name}'" not in text] == []


def test_unit_tests_have_files_of_their_own(manifest: Any) -> None:
    expected = {
        n.name: f"{n.original_file_path.rsplit('/', 1)[0]}/unit_tests/{n.name}.yml"
        for n in _own(manifest.nodes, "model")
    }
    assert manifest.unit_tests
    assert [t.name for t in manifest.unit_tests.values() if t.original_file_path != expected[t.model]] == []


def test_unit_tests_mock_only_what_asks_the_warehouse(manifest: Any) -> None:
    """Whatever computes from its answers is tested with the model."""
    questions = {"is_incremental", "load_relation", "run_query", "payload_column_names", "needs_no_content"}
    mocked = {macro for test in manifest.unit_tests.values() if test.overrides for macro in test.overrides.macros}
    assert mocked <= questions
