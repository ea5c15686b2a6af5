"""Tries every connection that is configured, and compares what is there with what the seeds expect."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestration import seeds
from orchestration.collectors import gather
from orchestration.collectors.base import Collected, Rows, redact, secrets_of
from orchestration.credentials import CredentialsError, fetch_snowflake_secret, with_kafka_secret
from orchestration.outcomes import DbtError, WarehouseTaken
from orchestration.receivers import RECEIVERS
from orchestration.receivers.clean import plain
from orchestration.settings import PROJECT_DIR, Settings, prefect_api

Line = tuple[str, str, str]  # connection, state, what works or what to fix
_OK, _FAILED, _NOT = "ok", "FAILED", "not configured"
_STYLES = {_OK: "green", _FAILED: "bold red", _NOT: "dim"}
# What to do of a connector or task that is not RUNNING; of any other state, look at the worker's log.
_REMEDIES = {
    "PAUSED": "resume it (PUT .../resume)",
    "STOPPED": "resume it (PUT .../resume)",
    "FAILED": "mend the cause, then restart it (POST .../restart?includeTasks=true&onlyFailed=true)",
    "UNASSIGNED": "a rebalance ends by itself: check again, then look at the workers",
    "RESTARTING": "it ends by itself: check again, then look at the worker's log",
    "PROVISIONING": "it ends by itself: check again",
}


def show_check(console: Console, query: Callable[[], Any], findings: Callable[[], list[seeds.Finding]]) -> bool:
    """Prints a line for each setting that cannot be used, for each finding in the seeds and for each connection.

    `query` tries the warehouse. Returns whether settings and seeds are right, and all that is configured works.
    """
    settings = Settings()
    topics, connectors = _seed("expected_topics"), _seed("expected_connectors")
    with ThreadPoolExecutor(1) as pool:
        gathering = pool.submit(gather, settings, topics)
        lines = [*_secret("Snowflake", settings, fetch_snowflake_secret), *_warehouse(query)]
        found = gathering.result()
    lines += [*_secret("Kafka", settings, with_kafka_secret), *_offsets(settings, topics, found.get("kafka_offsets"))]
    lines += [*_connect(connectors, found.get("connector_status"))]
    lines += [*_receivers(settings), *_prefect()]
    lines = [*_files(findings), *lines]
    lines = [*((problem.variable, _FAILED, str(problem)) for problem in settings.problems), *lines]
    table = Table(box=box.SIMPLE_HEAD, title="Connections", title_justify="left")
    for column in ("connection", "state", "what works, or what to fix"):
        table.add_column(column, overflow="fold", no_wrap=column != "what works, or what to fix")
    secrets = secrets_of(settings)
    for what, state, text in lines:
        # Text(): what comes from outside must not be read as markup.
        told = plain(redact(text, secrets), 500)
        table.add_row(Text(what), Text(state, style=_STYLES[state]), Text(told))
    console.print(table)
    return all(state != _FAILED for _, state, _ in lines)


def _seed(name: str) -> Rows:
    """From the file: what is expected is known also where the warehouse cannot be reached."""
    return list(seeds.rows(PROJECT_DIR, name))


def _files(findings: Callable[[], list[seeds.Finding]]) -> Iterator[Line]:
    what = "seeds"
    try:
        found = findings()
    # dbt parses the project for it: whatever that stumbles over, the connections are shown.
    except Exception as error:
        yield what, _FAILED, f"{type(error).__name__}: {error}"
        return
    for finding in found:
        yield f"{finding.file} line {finding.line}", _FAILED, finding.text
    if not found:
        yield what, _OK, "no mistake was found"


def _warehouse(query: Callable[[], Any]) -> Iterator[Line]:
    what = f"warehouse ({os.environ.get('DBT_TARGET', 'local')})"
    try:
        query()
        yield what, _OK, "dbt can query it"
    except (DbtError, WarehouseTaken) as error:
        yield what, _FAILED, str(error)


def _offsets(settings: Settings, expected: Rows, found: Collected | None) -> Iterator[Line]:
    brokers = bool(settings.kafka_bootstrap_servers or settings.kafka_secret_id)
    yield from _collected("Kafka brokers", "KAFKA_BOOTSTRAP_SERVERS", found if brokers else None)
    if brokers and settings.confluent_cluster_id:
        yield "Metrics API", _NOT, "not used: brokers are configured, and win over CONFLUENT_CLUSTER_ID"
    else:
        yield from _collected("Metrics API", "CONFLUENT_CLUSTER_ID", None if brokers else found)
    if not found or not found.rows:
        return
    for topic in expected:
        name, group = topic["topic"], topic["consumer_group"]
        here = [row for row in found.rows if (row["topic"], row["consumer_group"]) == (name, group) and _is_told(row)]
        what = f"topic {plain(name, 80)}"
        # The Metrics API tells only of partitions that the group consumes.
        if brokers and len(here) != int(topic["partitions"]):
            there = f"has {len(here)} partitions" if here else "is not there, or its offsets are not told"
            fix = "correct seeds/expected_topics.csv, or the topic"
            yield what, _FAILED, f"{there}, expected are {topic['partitions']}: {fix}"
        elif here:
            commits = sum(row.get("committed_offset") is not None for row in here)
            told = f", committed in {commits}" if brokers else ""
            if brokers and not commits:
                told += ": it never did here; check consumer_group in seeds/expected_topics.csv"
            yield what, _OK, f"{len(here)} partitions; group {group}{told}"


def _is_told(row: dict[str, Any]) -> bool:
    """A partition that is gone, or has no leader, is a row without offsets."""
    return row.get("log_end_offset") is not None or row.get("consumer_lag_offsets") is not None


def _connect(expected: Rows, found: Collected | None) -> Iterator[Line]:
    yield from _collected("Kafka Connect", "KAFKA_CONNECT_URL", found)
    rows = [row for row in found.rows if row["state"] != "MISSING"] if found else []
    tasks = Counter(row["connector"] for row in rows if row["task_id"] is not None)
    here = {row["connector"]: row for row in rows if row["task_id"] is None}
    for connector in expected if found and found.rows else []:
        name, count = connector["connector"], tasks[connector["connector"]]
        most = here.get(name, {}).get("tasks_max")
        down = next((row for row in rows if row["connector"] == name and row["state"] != "RUNNING"), None)
        if name not in here:
            names = ", ".join(sorted(here)) or "none"
            yield f"connector {name}", _FAILED, f"is not there, but {names}: correct seeds/expected_connectors.csv"
        elif down:
            who = "" if down["task_id"] is None else f"task {down['task_id']} is "
            why = f" ({down['trace'].splitlines()[0][:200]})" if down["trace"] else ""
            remedy = _REMEDIES.get(down["state"], "look at the worker's log")
            yield f"connector {name}", _FAILED, f"{who}{down['state']}{why}: {remedy}"
        elif {count, wanted := int(connector["tasks"] or most or count), most or wanted} != {count}:
            told = f"{count} tasks, tasks.max is {'not told' if most is None else most}, expected are {wanted}"
            yield f"connector {name}", _FAILED, f"{told}: look at its status, or correct seeds/expected_connectors.csv"
        else:
            yield f"connector {name}", _OK, f"{here[name]['state']}, {count} tasks"


def _collected(what: str, setting: str, found: Collected | None) -> Iterator[Line]:
    if found is None:
        yield what, _NOT, f"set {setting}"
    elif found.problems:
        works = f" (what works: {len(found.rows)} rows)" if found.rows else ""
        yield from ((what, _FAILED, problem + works) for problem in found.problems)
    else:
        yield what, _OK, f"{len(found.rows)} rows for the landing table"


def _secret(owner: str, settings: Settings, fetch: Callable[[Settings], Any]) -> Iterator[Line]:
    what, setting = f"AWS secret of {owner}", f"{owner.upper()}_SECRET_ID"
    if (name := getattr(settings, setting.lower())) is None:
        yield what, _NOT, f"set {setting}, unless the environment has it all"
        return
    try:
        fetch(settings)
        yield what, _OK, name
    except CredentialsError as error:
        yield what, _FAILED, str(error)


def _receivers(settings: Settings) -> Iterator[Line]:
    for name, receiver in RECEIVERS.items():
        if name == "log":
            continue
        if receiver.is_configured(settings):
            yield name, _OK, "is set; `python -m orchestration test-alert` sends a test message"
        else:
            yield name, _NOT, "alerts are only logged, while no receiver is set" if name == "slack" else "see README.md"


def _prefect() -> Iterator[Line]:
    try:
        prefect = prefect_api()
    except ValueError as error:
        yield "Prefect API", _FAILED, str(error)
        return
    if prefect.url is None:
        yield "Prefect API", _NOT, "set PREFECT_API_URL to serve; a tick by hand needs none"
        return
    key = prefect.key.get_secret_value() if prefect.key else None
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        httpx.get(f"{prefect.url}/health", headers=headers, timeout=10).raise_for_status()
        yield "Prefect API", _OK, "it answers"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = f"{type(error).__name__}: {redact(str(error), {key} if key else set())}"
        yield "Prefect API", _FAILED, f"{why}: check PREFECT_API_URL and PREFECT_API_KEY"
