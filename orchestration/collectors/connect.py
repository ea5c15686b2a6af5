"""The state of every connector and task, from the REST API of Kafka Connect (2.3 and later) or Confluent Cloud."""

import re
from collections.abc import Callable
from typing import Any

from orchestration.collectors.base import (
    SECRET_NAME,
    Collected,
    CollectorError,
    Rows,
    redact,
    redactor,
    secret_values,
    secrets_of,
)
from orchestration.collectors.web import address, ask, client, run
from orchestration.settings import Settings

_LARGEST = 2**31 - 1
_LONGEST_TRACE, _LONGEST_NAME, _MOST_MEMBERS = 10_000, 300, 10_000
# What is no secret under a name that says just 'key', as of a transform: names of fields, a class.
_FIELDS = re.compile(r"[a-z_]+([.,][a-z_]+)*(\.[A-Z]\w*(\$\w+)?)?")
_ADVICE = {
    0: "check KAFKA_CONNECT_URL and the worker's log",
    401: "check KAFKA_CONNECT_USER and KAFKA_CONNECT_PASSWORD",
    403: "allow KAFKA_CONNECT_USER to read connectors",
    404: "check the path in KAFKA_CONNECT_URL: it is what stands before /connectors",
    429: "it is asked too often; the next tick asks again",
}


def connector_status(settings: Settings, expected: Rows) -> Collected:
    """One row per connector, with `tasks_max`, and one per task. A member that is malformed is a problem and no row.

    An expected connector that Connect lacks is a row too, MISSING: the last one that goes would leave none else.
    """
    base = address(settings.kafka_connect_url, "KAFKA_CONNECT_URL", "KAFKA_CONNECT_USER and KAFKA_CONNECT_PASSWORD")
    base = base.rstrip("/").removesuffix("/connectors")
    # A worker takes the parameter twice and ignores a list; Confluent Cloud takes a list.
    expand: Any = "info,status,id" if "/connect/v1/environments/" in base else ["status", "info"]
    password = settings.kafka_connect_password.get_secret_value() if settings.kafka_connect_password else None
    secrets = secrets_of(settings)

    async def answer() -> Any:
        async with client(base, settings.kafka_connect_user, password) as http:
            return await ask(http, "Kafka Connect", _ADVICE, "GET", "/connectors", params={"expand": expand})

    try:
        connectors = run(answer(), "Kafka Connect")
        if not isinstance(connectors, dict):
            raise CollectorError(f"Kafka Connect: no object of connectors, as of a worker before 2.3: {_ADVICE[0]}")
    except CollectorError as error:
        raise CollectorError(redact(str(error), secrets)) from None
    names = {row["connector"] for row in expected if row.get("connector")}
    gone = sorted(names - connectors.keys())
    found = Collected([{"connector": name, "task_id": None, "state": "MISSING"} for name in gone])
    configs = {name: _config(connector) for name, connector in connectors.items()}
    # A trace may repeat a configuration, also that of another connector.
    secrets |= {value for config in configs.values() for entry in config.items() for value in _secrets_in(*entry)}
    hide = redactor(secrets, _LONGEST_TRACE)
    # What is expected comes first: nobody's connectors may crowd it out.
    expected_first = sorted(connectors, key=lambda name: name not in names)
    members = [(name, *member) for name in expected_first for member in _members(connectors[name])]
    if len(members) > _MOST_MEMBERS:
        found.problems.append(f"Kafka Connect: of {len(members):,} connectors and tasks {_MOST_MEMBERS:,} are landed")
    for name, number, member in members[:_MOST_MEMBERS]:
        try:
            row = _row(name, number, member, hide)
            if number is None:
                row["tasks_max"] = _whole_number(configs[name].get("tasks.max"))
            found.rows.append(row)
        except (LookupError, TypeError, ValueError, AttributeError):
            what = f"connector {name[:_LONGEST_NAME]}" + ("" if number is None else f", member {number} of its tasks")
            found.problems.append(hide(f"{what}: its status is malformed: look at the worker's log"))
    return found


def _config(connector: Any) -> dict[str, Any]:
    info = connector.get("info") if isinstance(connector, dict) else None
    config = info.get("config") if isinstance(info, dict) else None
    return config if isinstance(config, dict) else {}


def _members(connector: Any) -> list[tuple[int | None, Any]]:
    """The connector itself, numbered None, and its tasks; what is no such thing in the answer is None."""
    status = connector.get("status") if isinstance(connector, dict) else None
    status = status if isinstance(status, dict) else {}
    tasks = status.get("tasks")
    return [(None, status.get("connector")), *enumerate(tasks if isinstance(tasks, list) else [None])]


def _row(name: str, number: int | None, member: Any, hide: Callable[[str], str]) -> dict[str, Any]:
    task_id = None if number is None else _whole_number(member["id"])
    if not (isinstance(member["state"], str) and member["state"]) or (number is not None and task_id is None):
        raise ValueError
    if len(name) > _LONGEST_NAME or len(member["state"]) > _LONGEST_NAME:
        raise ValueError
    # Confluent Cloud says msg.
    trace = member.get("trace") or member.get("msg")
    worker = member.get("worker_id")
    return {
        "connector": name,
        "task_id": task_id,
        "state": hide(member["state"]),
        "worker_id": None if worker is None else hide(str(worker)),
        "trace": hide(str(trace)) if trace else None,
    }


def _secrets_in(name: str, value: Any) -> set[str]:
    """What an entry of a connector's configuration has to hide; its converters' class names are no secrets."""
    named = SECRET_NAME.findall(name.removeprefix("key.converter"))
    if not named or value is None or ({"key"} == set(map(str.lower, named)) and _FIELDS.fullmatch(str(value))):
        return set()
    # Also the two halves of a user and a password.
    parts = str(value).split(":", 1) if "user.info" in name.lower() else [str(value)]
    return secret_values(str(value)).union(*map(secret_values, parts[1:]))


def _whole_number(value: Any) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 11 and int(text) <= _LARGEST else None  # noqa: PLR2004
