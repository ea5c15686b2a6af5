"""The state of every connector and task, from Kafka Connect's REST API (self-managed, version 2.3 and later)."""

from typing import Any

import httpx

from orchestration.settings import Settings


def connector_status(settings: Settings, _expected: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """One row per connector and per task. Raises httpx.HTTPError if the worker does not answer, without credentials."""
    if settings.kafka_connect_url is None:
        return None
    password = settings.kafka_connect_password.get_secret_value() if settings.kafka_connect_password else ""
    auth = (settings.kafka_connect_user, password) if settings.kafka_connect_user else None
    transport = httpx.HTTPTransport(retries=2)
    with httpx.Client(base_url=str(settings.kafka_connect_url), auth=auth, timeout=10, transport=transport) as client:
        answer = client.get("connectors", params={"expand": "status"})
        answer.raise_for_status()
    rows = []
    for name, connector in answer.json().items():
        status = connector["status"]
        for member in [status["connector"], *status["tasks"]]:
            rows.append(
                {
                    "connector": name,
                    "task_id": member.get("id"),
                    "state": member["state"],
                    "worker_id": member.get("worker_id"),
                    # Confluent Cloud says msg.
                    "trace": member.get("trace") or member.get("msg"),
                }
            )
    return rows
