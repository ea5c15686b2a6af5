"""Runs dbt in this process, and keeps its parsed project between runs.

One process at a time may write a DuckDB file, and parsing takes longer than most runs: so dbt is not started anew for
each of them. Nothing else in this package talks to the warehouse.
"""

import contextlib
import difflib
import json
import logging
import os
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import click
import yaml
from dbt.cli.main import cli, dbtRunner, dbtRunnerResult
from dbt_common.events.base_types import EventMsg
from dbt_common.events.functions import scrub_secrets

from orchestration.built import Built, fingerprint
from orchestration.credentials import CredentialsError, check_profile, fetch_snowflake_secret
from orchestration.outcomes import CURRENT_RUN, DbtError, Outcome
from orchestration.settings import PROJECT_DIR, Settings, log_file

# What it guesses at in a seed is a finding of ours, without a path of the venv.
warnings.filterwarnings("ignore", module="agate")

logger = logging.getLogger(__name__)
node_logger = logging.getLogger(f"{__name__}.nodes")
# Not shown: it says what a run that hangs is at.
progress_logger = logging.getLogger(f"{__name__}.progress")
progress_logger.setLevel(logging.WARNING)
_running: set[str] = set()

# The static parser starts threads, of which a process that is forked from this one has none: it would wait for ever.
_SILENT = ["--quiet", "--log-level", "none", "--no-static-parser"]
# dbt's events for one finished node; everything else of level info is chatter.
_LOG_BYTES, _LOG_FILES = 10_000_000, 3
# dbt's options that may come from the environment: where things are, and how they look. All others select, sample or
# refresh, and could switch the alerts off: a run of the project has them from the project alone.
_FROM_ENVIRONMENT = {
    *("profiles_dir", "project_dir", "profile", "target", "target_path", "log_path"),
    *("send_anonymous_usage_stats", "printer_width", "use_colors", "use_colors_file", "version_check"),
}
_ANSI = re.compile(r"\x1b\[\d*m")
_LONGEST_LINE = 1000
_MISSING_VARIABLE = re.compile(
    r"^(?P<indent> *)Required var '(?P<name>[^']*)' not found in config:\s+"
    r"Vars supplied to (?P<where>.+?) = (?P<given>\{.*?^(?P=indent)\})",
    re.DOTALL | re.MULTILINE,
)
_NODE_EVENTS = {"LogModelResult", "LogTestResult", "LogSeedResult", "LogNodeResult"}


class Dbt:
    """The dbt project in `project_dir`, on the target that its profile chooses."""

    def __init__(self, project_dir: Path = PROJECT_DIR) -> None:
        self.project_dir = project_dir
        self.profiles_dir = Path(os.environ.get("DBT_PROFILES_DIR", project_dir))
        for name in ("DBT_TARGET", "STREAMING_OPS_DUCKDB_PATH"):
            # Empty is not set, as for Settings: the profile would take it for a value.
            if not os.environ.get(name):
                os.environ.pop(name, None)
        settings = Settings()
        if blocking := [str(problem) for problem in settings.problems if problem.blocks_warehouse]:
            raise DbtError("\n".join(blocking))
        os.environ.setdefault("STREAMING_OPS_DUCKDB_PATH", str(settings.streaming_ops_duckdb_path))
        if not (self.profiles_dir / "profiles.yml").exists():
            raise DbtError(f"No profiles.yml in {self.profiles_dir}: `make setup` copies profiles.example.yml.")
        self._profile = re.sub(r"(?m)^\s*#.*$", "", (self.profiles_dir / "profiles.yml").read_text("utf-8"))
        self._has_blocks = re.search(r"\{\{\s*prefect\.", self._profile) is not None
        try:
            fetch_snowflake_secret(settings)
            check_profile(self._profile)
        except CredentialsError as error:
            raise DbtError(str(error)) from None
        prefix = settings.streaming_ops_schema_prefix
        self._variables = {"schema_prefix": prefix} if prefix else {}
        self._manifest: Any = None
        self._fingerprint = ""
        self._built: Built | None = None

    @property
    def built(self) -> Built:
        """What this process, or one before it, has built of the project as it is."""
        self.parse()
        if self._built is None:
            # Not when it is parsed: since a warm process did that, other processes have built.
            file = self.project_dir / os.environ.get("DBT_TARGET_PATH", "target") / "built.json"
            self._built = Built(file, f"{self._fingerprint} {_file_identity()}")
        return self._built

    def forget(self) -> None:
        """What was built counts no more, in this process or another one."""
        self.built.forget()
        self._built = None

    def build(self, select: str, as_of: str, *options: str, **variables: Any) -> list[Outcome]:
        """Builds and tests `select` (dbt's node selection), with more of dbt's options and variables.

        The second time its views are left as they are, and its contracts hold as they did.
        Raises DbtError if dbt did not get to run it at all.
        """
        started = time.monotonic()
        selection = ["--select", *select.split()]
        if not options and (nodes := self.built.get(select)):
            selection = ["--select", *nodes, "--indirect-selection", "empty"]
            variables = {"check_contracts": False} | variables
        selection += ["--exclude-resource-type", "unit_test", *options]
        try:
            result = self._invoke("build", *selection, as_of=as_of, **variables)
        except DbtError:
            self.built.forget()
            raise
        results = getattr(result.result, "results", None) or []
        outcomes = [_outcome(node) for node in results]
        counts = Counter(outcome.status for outcome in outcomes)
        ended = ", ".join(f"{count} {status}" for status, count in counts.most_common())
        logger.info("dbt build %s: %s in %.1f s", select, ended, time.monotonic() - started)
        if any(outcome.is_broken or outcome.status == "skipped" for outcome in outcomes):
            # Perhaps a view was dropped: the next run makes them all again.
            self.built.forget()
        elif not options:
            self.built.put(select, [result.node.name for result in results if not _is_kept(result.node)])
        return outcomes

    def query(self, sql: str, as_of: str, **variables: Any) -> list[dict[str, Any]]:
        """The rows of `sql`, which may use the project's macros and ref()."""
        # show prints its table however quiet it is told to be.
        try:
            with contextlib.redirect_stdout(None):
                result = self._invoke("show", "--inline", sql, "--limit", "-1", as_of=as_of, **variables)
        except DbtError:
            # dbt leaves a query that it could not parse in the manifest, where it would spoil the next one.
            self._manifest = None
            raise
        table = result.result.results[0].agate_table
        names = [name.lower() for name in table.column_names]
        return [dict(zip(names, row.values(), strict=True)) for row in table.rows]

    def parse(self) -> None:
        """Parses the project, if that was not done yet. Opens no connection."""
        if self._manifest is None:
            with self._profiles_dir() as profiles_dir:
                self._parse(profiles_dir)

    @property
    def adapter(self) -> str:
        """The adapter of the target, such as duckdb or snowflake."""
        self.parse()
        return self._manifest.metadata.adapter_type

    def source(self, name: str) -> str:
        """The table of a source of MONITORING, as SQL names it."""
        self.parse()
        return self._manifest.sources[f"source.streaming_ops.monitoring.{name}"].relation_name

    def close(self) -> None:
        """Closes what the adapter keeps open between runs: a DuckDB file is free for other processes then."""
        if duckdb := sys.modules.get("dbt.adapters.duckdb.connections"):
            duckdb.DuckDBConnectionManager.close_all_connections()

    def alerts(self) -> dict[str, str]:
        """What each alert means, by its name."""
        self.parse()
        return {n.name: _clean(n.description) for n in self._manifest.nodes.values() if "alert" in n.tags}

    def run_operation(self, macro: str, as_of: str, **arguments: Any) -> None:
        """Runs a macro that changes the warehouse."""
        # dbt reads YAML, which knows no surrogate pair of JSON.
        try:
            given = yaml.dump(arguments, Dumper=yaml.CSafeDumper)
        except (UnicodeError, yaml.YAMLError) as error:
            raise DbtError(f"{macro}: the arguments cannot be written as YAML: {type(error).__name__}") from None
        try:
            self._invoke("run-operation", macro, "--args", given, as_of=as_of)
        except DbtError as error:
            # Arguments that dbt cannot read it repeats, which may be thousands of rows.
            said = re.sub(
                r"String '.*' is not valid YAML", "its arguments are not valid YAML", str(error), flags=re.DOTALL
            )
            raise DbtError(f"{macro}: {said}") from None

    def _invoke(self, command: str, *args: str, as_of: str, **variables: Any) -> dbtRunnerResult:
        events: list[EventMsg] = []
        log = partial(_log, events)
        _running.clear()
        _ignore_options()
        with self._profiles_dir() as profiles_dir:
            where = self._parse(profiles_dir)
            result = dbtRunner(manifest=self._manifest, callbacks=[log]).invoke(
                [
                    *_SILENT,
                    "--no-write-json",
                    command,
                    *args,
                    *where,
                    "--vars",
                    json.dumps(self._variables | {"as_of": as_of, "flow_run": CURRENT_RUN.get().flow_run} | variables),
                ]
            )
        return _checked(result, events, has_results=command in ("build", "test"))

    def _parse(self, profiles_dir: str) -> list[str]:
        """Parses the project, if that was not done yet; returns the options that say where it is."""
        where = ["--project-dir", str(self.project_dir), "--profiles-dir", profiles_dir]
        if self._manifest is None:
            _ignore_options()
            events: list[EventMsg] = []
            # Without a prefix no variable is given: then the parsed project is the one that plain dbt keeps.
            given = ["--vars", json.dumps(self._variables)] if self._variables else []
            # Nothing reads the manifest's file, and to write it takes a third of the time.
            options = [*_SILENT, "--no-write-json", "parse", *where, *given]
            parsed = dbtRunner(callbacks=[partial(_log, events)]).invoke(options)
            self._manifest = _checked(parsed, events).result
            self._fingerprint = fingerprint(self._manifest, self.project_dir, self._profile)
        return where

    @contextlib.contextmanager
    def _profiles_dir(self) -> Iterator[str]:
        """The profile's directory, with Prefect's blocks and variables filled in where the profile has any.

        The values of blocks are not in it: they go into the environment, and it says env_var().
        """
        if not self._has_blocks:
            yield str(self.profiles_dir)
            return
        with contextlib.ExitStack() as stack:
            # Only a profile with blocks pays for these imports.
            import httpx
            from prefect.exceptions import ObjectNotFound
            from prefect_dbt import PrefectDbtSettings

            settings = PrefectDbtSettings(project_dir=self.project_dir, profiles_dir=self.profiles_dir)
            try:
                resolved = stack.enter_context(settings.resolve_profiles_yml())
            except ObjectNotFound as error:
                said = str(error).split(". ")[0]
                raise DbtError(f"profiles.yml: {said}: `prefect block ls` shows which there are.") from None
            except (httpx.HTTPError, RuntimeError, ValueError) as error:
                said = " ".join(str(error).split())
                raise DbtError(f"profiles.yml: Prefect's blocks cannot be read: {said}") from None
            # Under this prefix dbt, and _clean() here, know them for secrets.
            blocks = {name: value for name, value in os.environ.items() if name.startswith("PREFECT_BLOCKS_") and value}
            os.environ.update({f"DBT_ENV_SECRET_{name}": value for name, value in blocks.items()})
            yield resolved


def _ignore_options() -> None:
    """Takes dbt's options out of this process's environment, except those that a run may have from there."""
    options = [option for command in (cli, *cli.commands.values()) for option in command.params]
    names = {
        name
        for option in options
        if isinstance(option, click.Option) and option.envvar and option.name not in _FROM_ENVIRONMENT
        for name in ([option.envvar] if isinstance(option.envvar, str) else option.envvar)
    }
    if ignored := sorted(names & os.environ.keys()):
        for name in ignored:
            del os.environ[name]
        logger.warning("Ignored: %s. Runs of the project take no such option of dbt from there.", ", ".join(ignored))


def _log(events: list[EventMsg], event: EventMsg) -> None:
    """Passes on what people want to see of dbt's events; `events` collects all, for the log file."""
    events.append(event)
    if event.info.name in _NODE_EVENTS or event.info.name == "LogStartLine":
        node = event.data.node_info.node_name
        _running.discard(node) if event.info.name in _NODE_EVENTS else _running.add(node)
        progress_logger.info(", ".join(sorted(_running)))
    if event.info.name in _NODE_EVENTS:
        level = {"warn": logging.WARNING, "error": logging.ERROR}.get(event.info.level, logging.INFO)
        node_logger.log(level, _ANSI.sub("", event.info.msg))
    elif event.info.name == "JinjaLogInfo":
        logger.info(_ANSI.sub("", event.info.msg))


def _keep(events: list[EventMsg]) -> None:
    """Writes all of dbt's events of a command that failed to the log file: what it sent, and what came back.

    Of a command that went well there is no trace: a file of some megabytes reaches back for weeks.
    """
    path = log_file()
    if path is None:
        return
    file = RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES, encoding="utf-8", delay=True)
    text = "\n".join(f"{e.info.ts.ToJsonString()} {e.info.thread} {e.info.level}: {e.info.msg}" for e in events)
    try:
        # Half of a surrogate pair is in no encoding.
        text = scrubbed(_ANSI.sub("", text)).encode("utf-8", "backslashreplace").decode()
        file.emit(logging.makeLogRecord({"msg": text}))
    finally:
        file.close()


def _checked(result: dbtRunnerResult, events: list[EventMsg], has_results: bool = False) -> dbtRunnerResult:
    """`result`, if dbt ran; a failed node of a build is a result, everything else that went wrong is raised."""
    nodes = [_outcome(node) for node in getattr(result.result, "results", None) or [] if hasattr(node, "node")]
    if not result.success and (not has_results or any(node.is_broken for node in nodes)):
        _keep(events)
    if result.success or (has_results and result.exception is None):
        return result
    messages = [node.message for node in getattr(result.result, "results", None) or [] if node.message]
    if result.exception:
        messages.append(str(result.exception))
    # Why a run-operation or an inline query failed is in dbt's events alone.
    if not messages or messages == ["Error parsing inline query"]:
        messages += [event.info.msg for event in events if event.info.level == "error"]
    text = _clean("\n".join(messages) or "dbt failed")
    if "Could not set lock on file" in text or "Conflicting lock is held" in text:
        holder = re.search(r"PID (\d+)", text)
        text = (
            f"The DuckDB file is in use by another process{f' (PID {holder[1]})' if holder else ''}: one at a time may "
            "write it. Stop that process, or set STREAMING_OPS_DUCKDB_PATH to another file."
        )
    raise DbtError(text)


def _file_identity() -> int | None:
    """A DuckDB file that was deleted and made again is another warehouse."""
    if os.environ.get("DBT_TARGET", "local") == "snowflake":
        return None
    with contextlib.suppress(OSError):
        return Path(os.environ["STREAMING_OPS_DUCKDB_PATH"]).stat().st_ino
    return None


def _is_kept(node: Any) -> bool:
    """A view of a parsed project stays what it is; but one of staging follows the columns that the connector adds.

    A hook is run whatever is selected.
    """
    is_view = node.config.materialized == "view" and "staging" not in node.tags
    return is_view or node.resource_type == "operation"


def _outcome(result: Any) -> Outcome:
    node = result.node
    return Outcome(
        name=node.name,
        resource_type=str(node.resource_type),
        status=str(result.status),
        message=_clean(result.message or ""),
        is_alert="alert" in node.tags,
    )


def _clean(text: str) -> str:
    """`text` on as few lines as it has to say, without the secrets that dbt knows of, and without what dbt repeats of
    all variables or arguments. The log file has all of it."""
    text = scrubbed(re.sub(r"\s*\n\s*", "\n", _MISSING_VARIABLE.sub(_name_variable, text)).strip())
    return "\n".join(line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} ..." for line in text.split("\n"))


def _name_variable(found: re.Match[str]) -> str:
    """A sentence on a variable that is not in dbt_project.yml, for the ninety that are."""
    close = difflib.get_close_matches(found["name"], re.findall(r'"(\w+)":', found["given"]), 1)
    return f"{found['where']} uses the variable {found['name']}, which is not in dbt_project.yml" + (
        f": is it {close[0]}?" if close else "."
    )


def scrubbed(text: str) -> str:
    """`text` without the secrets that dbt knows of."""
    secrets = [value for name, value in os.environ.items() if name.startswith("DBT_ENV_SECRET_") and value]
    return scrub_secrets(text, secrets)
