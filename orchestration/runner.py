"""Runs dbt in this process, and keeps its parsed project between runs.

One process at a time may write a DuckDB file, and parsing takes longer than most runs: so dbt is not started anew for
each of them. Nothing else in this package talks to the warehouse.
"""

import contextlib
import json
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import yaml
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt_common.events.base_types import EventMsg
from dbt_common.events.functions import scrub_secrets
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect_dbt import PrefectDbtSettings

from orchestration.built import Built, fingerprint
from orchestration.credentials import CredentialsError, check_snowflake, fetch_snowflake_secret
from orchestration.settings import PROJECT_DIR, Settings

logger = logging.getLogger(__name__)
node_logger = logging.getLogger(f"{__name__}.nodes")

# dbt's events for one finished node; everything else of level info is chatter.
_NODE_EVENTS = {"LogModelResult", "LogTestResult", "LogSeedResult", "LogNodeResult"}


class DbtError(RuntimeError):
    """dbt could not run, or the warehouse could not be reached or understood. The text says what to do."""


@dataclass(frozen=True)
class Outcome:
    """How one node of a run ended."""

    name: str
    resource_type: str
    status: str  # dbt's own: success, pass, warn, fail, error, skipped
    message: str
    is_alert: bool = False

    @property
    def is_problem(self) -> bool:
        return self.status not in ("success", "pass", "no-op")

    @property
    def is_broken(self) -> bool:
        """The node could not be computed, or data is not what the project relies on: no alert, a fault."""
        return self.status == "error" or (self.status == "fail" and not self.is_alert)


class Dbt:
    """The dbt project in `project_dir`, on the target that its profile chooses."""

    def __init__(self, project_dir: Path = PROJECT_DIR) -> None:
        self.settings = PrefectDbtSettings(
            project_dir=project_dir, profiles_dir=os.environ.get("DBT_PROFILES_DIR", project_dir)
        )
        settings = Settings()
        os.environ.setdefault("STREAMING_OPS_DUCKDB_PATH", str(settings.streaming_ops_duckdb_path))
        if not (self.settings.profiles_dir / "profiles.yml").exists():
            raise DbtError(
                f"No profiles.yml in {self.settings.profiles_dir}: `make setup` copies profiles.example.yml."
            )
        self._profile = re.sub(r"(?m)^\s*#.*$", "", (self.settings.profiles_dir / "profiles.yml").read_text())
        self._has_blocks = re.search(r"\{\{\s*prefect\.", self._profile) is not None
        try:
            fetch_snowflake_secret(settings)
            check_snowflake(self._profile)
        except CredentialsError as error:
            raise DbtError(str(error)) from None
        prefix = settings.streaming_ops_schema_prefix
        self._variables = {"schema_prefix": prefix} if prefix else {}
        self._manifest: Any = None
        self._built: Any = None

    @property
    def built(self) -> Built:
        """What this process, or one before it, has built of the project as it is."""
        if self._manifest is None:
            with self._profiles_dir() as profiles_dir:
                self._parse(profiles_dir)
        return self._built

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

    def alerts(self) -> dict[str, str]:
        """What each alert means, by its name."""
        with self._profiles_dir() as profiles_dir:
            self._parse(profiles_dir)
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
        errors: list[str] = []
        log = partial(_log, errors)
        with self._profiles_dir() as profiles_dir:
            where = self._parse(profiles_dir)
            result = dbtRunner(manifest=self._manifest, callbacks=[log]).invoke(
                [
                    "--quiet",
                    "--log-level",
                    "none",
                    "--no-write-json",
                    command,
                    *args,
                    *where,
                    "--vars",
                    json.dumps(self._variables | {"as_of": as_of, "flow_run": flow_run.id or ""} | variables),
                ]
            )
        return _checked(result, errors, has_results=command in ("build", "test"))

    def _parse(self, profiles_dir: str) -> list[str]:
        """Parses the project, if that was not done yet; returns the options that say where it is."""
        where = ["--project-dir", str(self.settings.project_dir), "--profiles-dir", profiles_dir]
        if self._manifest is None:
            errors: list[str] = []
            # Without a prefix no variable is given: then the parsed project is the one that plain dbt keeps.
            given = ["--vars", json.dumps(self._variables)] if self._variables else []
            silent = ["--quiet", "--log-level", "none"]
            parsed = dbtRunner(callbacks=[partial(_log, errors)]).invoke([*silent, "parse", *where, *given])
            self._manifest = _checked(parsed, errors).result
            project_dir = self.settings.project_dir
            file = project_dir / os.environ.get("DBT_TARGET_PATH", "target") / "built.json"
            self._built = Built(file, fingerprint(self._manifest, project_dir, self._profile))
        return where

    @contextlib.contextmanager
    def _profiles_dir(self) -> Iterator[str]:
        """The profile's directory, with Prefect's blocks and variables filled in where the profile has any.

        The values of blocks are not in it: they go into the environment, and it says env_var().
        """
        if not self._has_blocks:
            yield str(self.settings.profiles_dir)
            return
        with contextlib.ExitStack() as stack:
            try:
                resolved = stack.enter_context(self.settings.resolve_profiles_yml())
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


def _log(errors: list[str], event: EventMsg) -> None:
    """Passes on what people want to see of dbt's events; `errors` collects those that name one."""
    if event.info.level == "error":
        errors.append(event.info.msg)
    text = re.sub(r"\x1b\[\d*m", "", event.info.msg)
    if event.info.name in _NODE_EVENTS:
        level = {"warn": logging.WARNING, "error": logging.ERROR}.get(event.info.level, logging.INFO)
        node_logger.log(level, text)
    elif event.info.name == "JinjaLogInfo":
        logger.info(text)


def _checked(result: dbtRunnerResult, errors: list[str], has_results: bool = False) -> dbtRunnerResult:
    """`result`, if dbt ran; a failed node of a build is a result, everything else that went wrong is raised."""
    if result.success or (has_results and result.exception is None):
        return result
    messages = [node.message for node in getattr(result.result, "results", None) or [] if node.message]
    if result.exception:
        messages.append(str(result.exception))
    # Why a run-operation or an inline query failed is in dbt's events alone.
    if not messages or messages == ["Error parsing inline query"]:
        messages += errors
    text = _clean("\n".join(messages) or "dbt failed")
    if "Could not set lock on file" in text or "Conflicting lock is held" in text:
        holder = re.search(r"PID (\d+)", text)
        text = (
            f"The DuckDB file is in use by another process{f' (PID {holder[1]})' if holder else ''}: one at a time may "
            "write it. Stop that process, or set STREAMING_OPS_DUCKDB_PATH to another file."
        )
    raise DbtError(text)


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
    """`text` on as few lines as it has to say, without the secrets that dbt knows of."""
    secrets = [value for name, value in os.environ.items() if name.startswith("DBT_ENV_SECRET_") and value]
    return scrub_secrets(re.sub(r"\s*\n\s*", "\n", text).strip(), secrets)
