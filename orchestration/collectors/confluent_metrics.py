"""The lag of consumer groups from Confluent Cloud's Metrics API, for a cluster whose brokers cannot be reached."""

import asyncio
import math
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from orchestration.collectors.base import Collected, CollectorError, Rows, redact, secrets_of
from orchestration.collectors.web import address, ask, client, run
from orchestration.settings import Settings

_MOST_PAGES = 20
# Data is there within about five minutes: what is younger may be of some partitions only.
_OLDEST, _NEWEST = timedelta(minutes=10), timedelta(minutes=5)
_ADVICE = {
    0: "check CONFLUENT_METRICS_URL and the network",
    400: "check CONFLUENT_CLUSTER_ID",
    401: "CONFLUENT_CLOUD_API_KEY and CONFLUENT_CLOUD_API_SECRET must be a Cloud API key, not one of the cluster's",
    403: "give the owner of the Cloud API key the role MetricsViewer on CONFLUENT_CLUSTER_ID",
    429: "more than 60 requests a minute come from this address; the next tick asks again",
}


def consumer_lag(settings: Settings, expected: Rows) -> Collected:
    """One row per consumer group, topic and partition, with `consumer_lag_offsets` alone.

    No answer for an expected topic means that its lag is not known, never that it is 0: a problem, and no row.
    """
    key, secret = settings.confluent_cloud_api_key, settings.confluent_cloud_api_secret
    if not (key and secret):
        raise CollectorError(
            "CONFLUENT_CLUSTER_ID needs CONFLUENT_CLOUD_API_KEY and CONFLUENT_CLOUD_API_SECRET: set both"
        )
    groups = {group: {r["topic"] for r in expected if r["consumer_group"] == group} for group in _groups(expected)}

    url = address(settings.confluent_metrics_url, "CONFLUENT_METRICS_URL", "the Cloud API key")

    async def all_groups() -> list[Any]:
        async with client(url, key, secret.get_secret_value()) as http:
            queries = [_group_lag(http, settings.confluent_cluster_id, *group) for group in groups.items()]
            return await asyncio.gather(*queries, return_exceptions=True)

    found = Collected()
    for group, answer in zip(groups, run(all_groups(), "the Metrics API"), strict=True):
        if isinstance(answer, Collected):
            found.rows += answer.rows
            found.problems += answer.problems
        elif isinstance(answer, CollectorError):
            found.problems.append(f"group {group}: {answer}")
        else:
            raise answer
    secrets = secrets_of(settings)
    return Collected(found.rows, [redact(problem, secrets) for problem in found.problems])


def _groups(expected: Rows) -> list[str]:
    return sorted({row["consumer_group"] for row in expected})


async def _group_lag(http: httpx.AsyncClient, cluster: str | None, group: str, topics: set[str]) -> Collected:
    minutes: dict[str, dict[tuple[str, int], int]] = defaultdict(dict)
    malformed = 0
    for point in await _points(http, cluster, group):
        try:
            at, topic, partition = point["timestamp"], point["metric.topic"], int(point["metric.partition"])
            lag = float(point["value"])
            if not (isinstance(at, str) and math.isfinite(lag) and lag >= 0):
                raise ValueError
        except (LookupError, TypeError, ValueError):
            malformed += 1
        else:
            if topic in topics:
                minutes[at][topic, partition] = round(lag)
    problems = [f"group {group}: {malformed} malformed points in the answer of the Metrics API"] if malformed else []
    # A minute of which only some partitions have been counted so far is not complete.
    newest = max(minutes, key=lambda at: (len(minutes[at]), at), default=None)
    lags = minutes[newest] if newest else {}
    if unknown := sorted(topics - {topic for topic, _ in lags}):
        problems.append(
            f"group {group}: the Metrics API has no lag of topic {', '.join(unknown)}, so it is unknown: check that "
            "the group consumes it, the names in seeds/expected_topics.csv, and CONFLUENT_CLUSTER_ID"
        )
    rows = [
        {"consumer_group": group, "topic": topic, "partition": partition, "consumer_lag_offsets": lag}
        for (topic, partition), lag in sorted(lags.items())
    ]
    return Collected(rows, problems)


async def _points(http: httpx.AsyncClient, cluster: str | None, group: str) -> list[Any]:
    """The lag of each partition in each minute of the window, over all pages."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    filters = {"resource.kafka.id": cluster, "metric.consumer_group_id": group}
    query = {
        "aggregations": [{"metric": "io.confluent.kafka.server/consumer_lag_offsets"}],
        "filter": {"op": "AND", "filters": [{"field": f, "op": "EQ", "value": v} for f, v in filters.items()]},
        "granularity": "PT1M",
        "intervals": [f"{now - _OLDEST:%Y-%m-%dT%H:%M:%SZ}/{now - _NEWEST:%Y-%m-%dT%H:%M:%SZ}"],
        "group_by": ["metric.topic", "metric.partition"],
        "limit": 1000,
    }
    points: list[Any] = []
    page: dict[str, str] = {}
    for _ in range(_MOST_PAGES):
        answer = await ask(http, "Metrics API", _ADVICE, "POST", "/v2/metrics/cloud/query", json=query, params=page)
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, list):
            raise CollectorError(f"Metrics API: the answer has no list of data: {_ADVICE[0]}")
        points += data
        pagination = (answer.get("meta") or {}).get("pagination") or {}
        token = pagination.get("next_page_token") or pagination.get("page_token")
        if not token:
            return points
        page = {"page_token": token}
    raise CollectorError(f"Metrics API: the answer has more than {_MOST_PAGES} pages")
