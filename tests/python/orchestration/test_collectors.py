"""The collectors against real protocol: an HTTP server that answers as told, and librdkafka's mock cluster."""

import base64
import contextlib
import gzip
import json
import os
import random
import re
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from confluent_kafka import KafkaError

from orchestration import collectors, runner
from orchestration.collectors import connect, gather, kafka, web
from orchestration.collectors.base import Collected, CollectorError, redact, redactor
from orchestration.collectors.confluent_metrics import consumer_lag
from orchestration.collectors.connect import connector_status
from orchestration.collectors.kafka import kafka_offsets
from orchestration.settings import Settings
from tests.python.kafka.mock_kafka import FIND_COORDINATOR, LIST_OFFSETS, OFFSET_FETCH, MockKafka, requests_sent
from tests.python.warehouse import Warehouse
from tests.python.web import Web

T1 = "2026-03-02T12:05:00Z"
EXPECTED = [{"topic": topic, "consumer_group": "sink", "partitions": 2} for topic in ("orders", "not-there")]
PASSWORD = "c0nnect+p4ss"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(web.asyncio, "sleep", sleep)
    found = Web()
    found.pauses = pauses  # type: ignore[attr-defined]
    yield found
    found.stop()


# Kafka Connect.


def _connector(name: str = "sink", **changes: Any) -> dict[str, Any]:
    tasks = [{"id": 0, "state": "RUNNING", "worker_id": "w:1"}, {"id": 1, "state": "FAILED", "worker_id": "w:1"}]
    status = {"name": name, "connector": {"state": "RUNNING", "worker_id": "w:1"}, "tasks": tasks, "type": "sink"}
    return {name: {"status": status | changes, "info": {"name": name, "config": {"tasks.max": "2"}}}}


def _status(server: Web, path: str = "/base/", **more: str) -> Collected:
    given = {"kafka_connect_user": "me", "kafka_connect_password": PASSWORD} | more
    return connector_status(Settings(kafka_connect_url=server.url + path, **given), [])


def test_a_connector_and_its_tasks_become_rows(server: Web) -> None:
    server.says(_connector() | {"other": _connector("other", connector={"state": "PAUSED"}, tasks=[])["other"]})
    found = _status(server)
    assert found.problems == []
    assert [(r["connector"], r["task_id"], r["state"], r["worker_id"], r.get("tasks_max")) for r in found.rows] == [
        ("sink", None, "RUNNING", "w:1", 2),
        ("sink", 0, "RUNNING", "w:1", None),
        ("sink", 1, "FAILED", "w:1", None),
        ("other", None, "PAUSED", None, 2),
    ]
    path, headers, _ = server.asked[0]
    assert path == "/base/connectors?expand=status&expand=info"
    assert headers["Authorization"] == f"Basic {base64.b64encode(f'me:{PASSWORD}'.encode()).decode()}"


def test_what_is_expected_is_landed_first_and_no_more_than_can_be(server: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "_MOST_MEMBERS", 3)
    connectors: dict[str, Any] = {}
    for name in ("A", "B", "C", "sink"):
        connectors |= _connector(name, tasks=[])
    server.says(connectors)
    found = connector_status(Settings(kafka_connect_url=server.url), [{"connector": "sink"}])
    assert [row["connector"] for row in found.rows] == ["sink", "A", "B"]
    assert found.problems == ["Kafka Connect: of 4 connectors and tasks 3 are landed"]


def test_a_connector_with_a_name_too_long_is_malformed(server: Web) -> None:
    server.says(_connector("C" * 301, tasks=[]))
    found = _status(server)
    assert found.rows == []
    assert len(found.problems[0]) < 400


def test_an_expected_connector_that_is_gone_is_missing_also_if_it_was_the_only_one(server: Web) -> None:
    expected = [{"topic": "orders", "connector": "sink"}, {"topic": "refunds", "connector": "sink"}]
    server.says({})
    settings = Settings(kafka_connect_url=server.url)
    assert connector_status(settings, expected) == Collected(
        [{"connector": "sink", "task_id": None, "state": "MISSING"}]
    )


def test_confluent_cloud_is_asked_in_its_own_form_and_says_msg(server: Web) -> None:
    task = {"id": 0, "state": "USER_ACTIONABLE_ERROR", "worker_id": "x", "msg": "no such role"}
    server.says(_connector("cloud", connector={"state": "DEGRADED"}, tasks=[task]))
    rows = _status(server, "/connect/v1/environments/env-1/clusters/lkc-1/connectors").rows
    assert [(r["state"], r["trace"]) for r in rows] == [("DEGRADED", None), ("USER_ACTIONABLE_ERROR", "no such role")]
    path = urlsplit(server.asked[0][0])
    assert path.path == "/connect/v1/environments/env-1/clusters/lkc-1/connectors"
    assert parse_qs(path.query) == {"expand": ["info,status,id"]}


@pytest.mark.parametrize(("given", "landed"), [("7", 7), (7, 7), ("many", None), ("-1", None), ("9" * 10, None)])
def test_tasks_max_is_a_number_or_nothing(server: Web, given: Any, landed: int | None) -> None:
    connector = _connector()
    connector["sink"]["info"]["config"]["tasks.max"] = given
    assert _status(server.says(connector)).rows[0]["tasks_max"] == landed


def test_a_trace_is_whole_but_for_the_secrets_of_the_configuration_and_of_ours(server: Web) -> None:
    config = {
        "tasks.max": "1",
        "topics": "orders",
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "snowflake.private.key": "MIIEvQIBADANBgkqhkiG9w0B+/=",
        "snowflake.private.key.passphrase": "phrase",
        "consumer.override.sasl.jaas.config": 'Plain required username="svc-user" password="j44s-p4ss";',
    }
    trace = (
        "Cannot read MIIEvQIBADANBgkqhkiG9w0B+/= with phrase (paraphrased) of orders in "
        f"org.apache.kafka.connect.storage.StringConverter; j44s-p4ss, {PASSWORD}, "
        "c0nnect%2Bp4ss, ?token=abc&x=1\n\tat x"
    )
    connector = _connector(tasks=[{"id": 0, "state": "FAILED", "worker_id": "w", "trace": trace}])
    connector["sink"]["info"]["config"] = config
    found = _status(server.says(connector))
    assert found.rows[1]["trace"] == (
        "Cannot read *** with *** (paraphrased) of orders in "
        "org.apache.kafka.connect.storage.StringConverter; ***, ***, ***, ?token=***&x=1\n\tat x"
    )
    assert "orders" not in json.dumps([{k: v for k, v in row.items() if k != "trace"} for row in found.rows])


@pytest.mark.parametrize(
    ("members", "landed", "named"),
    [
        ({"bad": None}, 3, ["bad"]),
        ({"bad": {"info": {}}}, 3, ["bad", "bad, member 0"]),
        ({"bad": {"status": []}}, 3, ["bad"]),
        (_connector("bad", connector={"worker_id": "w"}, tasks=[]), 3, ["bad"]),
        (_connector("bad", tasks=None), 4, ["bad, member 0"]),
        (
            _connector("bad", tasks=[{"id": 0, "state": "RUNNING"}, "x", {"state": "RUNNING"}]),
            5,
            ["member 1", "member 2"],
        ),
        (_connector("bad", tasks=[{"id": "zero", "state": 7}]), 4, ["bad, member 0"]),
        (_connector("bad") | {"bad": _connector("bad")["bad"] | {"info": {"config": []}}}, 6, []),
    ],
)
def test_of_a_half_malformed_answer_the_rest_lands(
    server: Web, members: dict[str, Any], landed: int, named: list[str]
) -> None:
    found = _status(server.says(_connector() | members))
    assert len(found.rows) == landed
    assert all(any(name in problem for problem in found.problems) for name in named)
    assert bool(found.problems) == bool(named)


@pytest.mark.parametrize(
    ("status", "body", "expected", "asked"),
    [
        (401, "", "401 Unauthorized: check KAFKA_CONNECT_USER and KAFKA_CONNECT_PASSWORD", 1),
        (403, "", "403 Forbidden: allow KAFKA_CONNECT_USER", 1),
        (404, {"message": "HTTP 404 Not Found"}, "check the path in KAFKA_CONNECT_URL", 1),
        (500, {"message": f"timed out for {PASSWORD}"}, r"500 .*\(timed out for \*\*\*\): check KAFKA_CONNECT_URL", 3),
        (200, "<html>", "the answer is not JSON: check KAFKA_CONNECT_URL", 1),
        (200, '["sink"]', "before 2.3", 1),
        (0, "", "no answer within 0.3 s: check KAFKA_CONNECT_URL", 3),
    ],
)
def test_a_connect_that_does_not_tell_is_an_error_that_says_what_to_do(
    server: Web, status: int, body: Any, expected: str, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if status == 0:
        monkeypatch.setattr(web, "_TIMEOUT", 0.3)
    server.says(body, status)
    with pytest.raises(CollectorError, match=f"Kafka Connect.*{expected}") as error:
        _status(server)
    assert len(server.asked) == asked
    assert PASSWORD not in str(error.value)


@pytest.mark.parametrize(("packed", "body"), [(True, _connector()), (False, _connector()), (True, "x")])
def test_an_answer_may_be_packed(server: Web, packed: bool, body: Any) -> None:
    sent = gzip.compress(json.dumps(body).encode()) if packed and body != "x" else b"x" if packed else json.dumps(body)
    server.says(sent, **({"Content-Encoding": "gzip"} if packed else {}))
    if body == "x":
        with pytest.raises(CollectorError, match="not JSON"):
            _status(server)
    else:
        assert len(_status(server).rows) == 3


@pytest.mark.parametrize("packed", [True, False])
def test_an_answer_without_end_is_refused_and_not_kept(server: Web, packed: bool) -> None:
    pack = zlib.compressobj(wbits=31)
    some = bytes(1_000_000)
    body = b"".join([*(pack.compress(some) for _ in range(500)), pack.flush()]) if packed else some * 60
    server.says(body, **({"Content-Encoding": "gzip"} if packed else {}))
    tracemalloc.start()
    with pytest.raises(CollectorError, match="Kafka Connect: the answer has more than 50 MB: check"):
        _status(server)
    assert tracemalloc.get_traced_memory()[1] < 250_000_000
    tracemalloc.stop()
    assert len(server.asked) == 1


def test_what_passes_is_asked_for_again(server: Web) -> None:
    server.says("", 500).says("", 429, Retry_After="4").says(_connector())
    assert len(_status(server).rows) == 3
    assert server.pauses == [1, 4]  # type: ignore[attr-defined]


@pytest.mark.parametrize("given", ["seconds", "date"])
def test_a_wait_that_is_longer_than_a_tick_is_for_the_next_one(server: Web, given: str) -> None:
    server.says("", 429, Retry_After="3600" if given == "seconds" else formatdate(time.time() + 3600, usegmt=True))
    with pytest.raises(CollectorError, match=r"429 .*the next tick"):
        _status(server)
    assert len(server.asked) == 1


def test_a_redirect_gets_no_credentials(server: Web) -> None:
    elsewhere = Web().says(_connector())
    with pytest.raises(CollectorError, match=f"302 Found to {elsewhere.url}/.*give the address"):
        _status(server.says("", 302, Location=f"{elsewhere.url}/"))
    elsewhere.stop()
    assert elsewhere.asked == []


def test_an_answer_that_drips_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.send(b"HTTP/1.1 200 OK\r\n")
                while True:
                    connection.send(b"x")
                    time.sleep(0.1)

        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        with pytest.raises(CollectorError, match="Kafka Connect did not finish answering within 1 s"):
            connector_status(Settings(kafka_connect_url=f"http://127.0.0.1:{listener.getsockname()[1]}/"), [])
        dripping.join(60)
        assert not dripping.is_alive()


# The Metrics API.

CLOUD = {"confluent_cluster_id": "lkc-1", "confluent_cloud_api_key": "K", "confluent_cloud_api_secret": "cl0ud-s3cret"}
CONSUMED = [{"topic": "orders", "consumer_group": "sink"}]


def _point(minute: int, partition: int, value: Any, topic: str = "orders") -> dict[str, Any]:
    at = f"2026-03-02T12:{minute:02}:00Z"
    return {"timestamp": at, "value": value, "metric.topic": topic, "metric.partition": str(partition)}


def _lag(server: Web, expected: Any = CONSUMED, **changes: Any) -> Collected:
    return consumer_lag(Settings(confluent_metrics_url=server.url, **(CLOUD | changes)), expected)


def test_the_lag_of_the_newest_complete_minute_lands(server: Web) -> None:
    points = [_point(0, 0, 5.0), _point(0, 1, 0.0), _point(1, 0, 7.0), _point(1, 1, 2.4), _point(2, 0, 9.0)]
    found = _lag(server.says({"data": [*points, _point(1, 0, 1.0, "other")]}))
    assert found == Collected(
        [
            {"consumer_group": "sink", "topic": "orders", "partition": 0, "consumer_lag_offsets": 7},
            {"consumer_group": "sink", "topic": "orders", "partition": 1, "consumer_lag_offsets": 2},
        ]
    )
    path, headers, query = server.asked[0]
    assert path == "/v2/metrics/cloud/query"
    assert headers["Authorization"] == f"Basic {base64.b64encode(b'K:cl0ud-s3cret').decode()}"
    assert query["aggregations"] == [{"metric": "io.confluent.kafka.server/consumer_lag_offsets"}]
    assert query["group_by"] == ["metric.topic", "metric.partition"]
    assert [f["value"] for f in query["filter"]["filters"]] == ["lkc-1", "sink"]


def test_all_pages_are_read(server: Web) -> None:
    server.says({"data": [_point(0, 0, 1)], "meta": {"pagination": {"next_page_token": "a+b"}}})
    assert len(_lag(server.says({"data": [_point(0, 1, 2)]})).rows) == 2
    assert [parse_qs(urlsplit(path).query) for path, _, _ in server.asked] == [{}, {"page_token": ["a+b"]}]


@pytest.mark.parametrize("points", [[], [_point(0, 0, 3, "other")]])
def test_an_empty_answer_is_unknown_and_never_zero(server: Web, points: list[Any]) -> None:
    found = _lag(server.says({"data": points}))
    assert found.rows == []
    assert "no lag of topic orders, so it is unknown: check" in found.problems[0]


@pytest.mark.parametrize("bad", ["x", None, {}, _point(0, 1, "NaN"), _point(0, 1, -1), _point(0, 1, None)])
def test_of_half_malformed_points_the_rest_lands(server: Web, bad: Any) -> None:
    found = _lag(server.says({"data": [_point(0, 0, 3), bad]}))
    assert (len(found.rows), len(found.problems)) == (1, 1)
    assert "1 malformed" in found.problems[0]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, {"errors": [{"detail": "bad cl0ud-s3cret"}]}, r"401 .*\(bad \*\*\*\): .*must be a Cloud API key"),
        (403, "", "MetricsViewer"),
        (429, "", "60 requests a minute"),
        (400, "", "check CONFLUENT_CLUSTER_ID"),
        (200, "[]", "no list of data"),
        (200, "x", "not JSON"),
    ],
)
def test_of_a_group_that_is_refused_the_others_land(server: Web, status: int, body: Any, expected: str) -> None:
    refused, fine = (status, body, {}), (200, {"data": [_point(0, 0, 3)]}, {})

    class ByGroup(list[Any]):
        def __getitem__(self, _: Any) -> Any:
            return refused if "lost" in str(server.asked[-1][2]) else fine

        def __len__(self) -> int:
            return 1

    server.answers = ByGroup()
    lost = _lag(server, [{"topic": "orders", "consumer_group": "lost"}])
    assert lost.rows == []
    assert re.search(f"group lost: Metrics API: .*{expected}", lost.problems[0])
    assert "cl0ud" not in lost.problems[0]
    assert len(_lag(server).rows) == 1


def test_a_cluster_without_its_key_says_what_is_missing() -> None:
    with pytest.raises(CollectorError, match="needs CONFLUENT_CLOUD_API_KEY and CONFLUENT_CLOUD_API_SECRET"):
        consumer_lag(Settings(confluent_cluster_id="lkc-1", confluent_cloud_api_key="K"), CONSUMED)


def test_brokers_win_over_the_metrics_api() -> None:
    assert collectors.configured(Settings(**CLOUD)) == {"kafka_offsets": consumer_lag}
    assert collectors.configured(Settings(kafka_bootstrap_servers="b:1", **CLOUD)) == {"kafka_offsets": kafka_offsets}
    assert collectors.configured(Settings(kafka_secret_id="k", **CLOUD)) == {"kafka_offsets": kafka_offsets}
    assert collectors.configured(Settings()) == {}


# Kafka.


@pytest.fixture
def cluster() -> MockKafka:
    cluster = MockKafka()
    cluster.create("orders", 2, 4)
    cluster.create("returns", 2, 1)
    return cluster


BOTH = [{"topic": t, "consumer_group": g} for g in ("sink", "other") for t in ("orders", "returns")]


def _offsets(cluster: MockKafka, expected: Any = BOTH, **config: str) -> Collected:
    return kafka_offsets(Settings(kafka_bootstrap_servers=cluster.servers, kafka_config=config), expected)


_NONE = dict.fromkeys(["log_start_offset", "log_end_offset", "committed_offset"])
GONE = [{"consumer_group": "sink", "topic": "not-there", "partition": n} | _NONE for n in (0, 1)]


def _at(found: Collected) -> set[tuple[Any, ...]]:
    return {(row["consumer_group"], row["topic"], row["partition"]) for row in found.rows}


def test_offsets_come_from_the_broker(cluster: MockKafka) -> None:
    cluster.commit("sink", ("orders", 0, 3))
    found = _offsets(cluster, EXPECTED)
    row = {"consumer_group": "sink", "topic": "orders", "log_start_offset": 0, "log_end_offset": 4}
    assert found == Collected(
        [*GONE, row | {"partition": 0, "committed_offset": 3}, row | {"partition": 1, "committed_offset": None}]
    )
    # Asking for it has not created it.
    assert set(cluster.producer.list_topics(timeout=5).topics) == {"orders", "returns"}


def test_offsets_take_one_request_a_broker_and_one_a_group(capfd: pytest.CaptureFixture[str]) -> None:
    cluster = MockKafka(3)
    topics = [f"topic-{n}" for n in range(3)]
    for topic in topics:
        cluster.create(topic, 64)
    expected = [{"topic": topic, "consumer_group": group} for topic in topics for group in ("a", "b")]
    _offsets(cluster, expected)
    with requests_sent() as sent:
        found = _offsets(cluster, expected)
    assert len(found.rows) == 2 * 3 * 64
    assert (sent["ListOffsets"], sent["OffsetFetch"]) == (2 * 3, 2)
    assert capfd.readouterr().err == ""


def test_topics_that_are_all_gone_are_rows_without_offsets_and_a_problem(cluster: MockKafka) -> None:
    found = _offsets(cluster, EXPECTED[1:])
    assert found.rows == GONE
    assert "is this the right cluster?" in found.problems[0]


@pytest.mark.parametrize("partitions", [[1], [0, 1]])
def test_a_partition_without_leader_is_a_row_without_offsets(
    cluster: MockKafka, partitions: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[int] = []
    monkeypatch.setattr(kafka.time, "sleep", paused.append)
    cluster.commit("sink", ("orders", 1, 3))
    for partition in partitions:
        cluster.set_leader("orders", partition, -1)
    found = _offsets(cluster, EXPECTED[:1])
    assert [row for row in found.rows if row["partition"] in partitions] == [
        {"consumer_group": "sink", "topic": "orders", "partition": partition} | _NONE for partition in partitions
    ]
    assert [row["log_end_offset"] for row in found.rows if row["partition"] not in partitions] == [4] * (
        2 - len(partitions)
    )
    assert len(found.problems) == 1
    assert "topic orders partition " in found.problems[0]
    assert "leader" in found.problems[0].lower()
    assert paused == [1, 3, 6]


def test_a_leader_that_is_elected_meanwhile_is_waited_for(cluster: MockKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.set_leader("orders", 1, -1)
    monkeypatch.setattr(kafka.time, "sleep", lambda seconds: seconds == 3 and cluster.set_leader("orders", 1, 1))
    found = _offsets(cluster, EXPECTED[:1])
    assert (len(found.rows), found.problems) == (2, [])
    assert {row["log_end_offset"] for row in found.rows} == {4}


def test_what_failed_for_a_moment_is_asked_for_again(cluster: MockKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka.time, "sleep", lambda _: None)
    cluster.fail(LIST_OFFSETS, KafkaError.NOT_LEADER_FOR_PARTITION)
    # With the admin client this one kills the process.
    cluster.fail(OFFSET_FETCH, KafkaError.NOT_COORDINATOR)
    found = _offsets(cluster)
    assert (len(found.rows), found.problems) == (8, [])


@pytest.mark.parametrize("listed", [True, False])
def test_of_a_topic_that_is_refused_the_others_land(cluster: MockKafka, listed: bool) -> None:
    error = KafkaError.TOPIC_AUTHORIZATION_FAILED if listed else KafkaError.TOPIC_EXCEPTION
    cluster.refuse_topic("orders", error)
    found = _offsets(cluster)
    assert _at(found) == {(group, "returns", p) for group in ("sink", "other") for p in (0, 1)}
    assert found.problems[0].startswith("topic orders: Broker: ")
    if listed:
        assert found.problems[0].endswith("allow this principal DESCRIBE on the topic")


@pytest.mark.parametrize("request_kind", [OFFSET_FETCH, FIND_COORDINATOR])
def test_of_a_group_that_is_refused_only_the_commits_are_missing(
    cluster: MockKafka, request_kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "_TIMEOUT", 5)
    cluster.commit("sink", ("orders", 0, 3))
    cluster.fail(request_kind, *[KafkaError.GROUP_AUTHORIZATION_FAILED] * 20)
    found = _offsets(cluster, [row for row in BOTH if row["consumer_group"] == "sink"])
    assert {(row["log_end_offset"], row["committed_offset"]) for row in found.rows} == {(4, None), (1, None)}
    assert len(found.problems) == 1
    assert "group sink: " in found.problems[0]
    assert "allow this principal DESCRIBE on the group" in found.problems[0]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, "Connection refused.*: check KAFKA_BOOTSTRAP_SERVERS"),
        ({"sasl.mechanisms": "s3cr3t-thing"}, "Unsupported SASL mechanism"),
        ({"security.protocol": "s3cr3t"}, r"Invalid value \"\*\*\*\" .*security.protocol.*: correct KAFKA_CONFIG"),
        ({"pasword": "x"}, "No such configuration property.*: correct KAFKA_CONFIG"),
        (
            {"security.protocol": "SSL", "ssl.ca.location": "/nowhere/s3cr3t"},
            "ssl.ca.location failed.*correct KAFKA_CONFIG",
        ),
    ],
)
def test_a_broker_that_is_gone_or_a_setting_that_is_wrong_is_one_error(
    config: dict[str, str], expected: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "_TIMEOUT", 4)
    protocol = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "PLAIN", "sasl.username": "me"}
    given = protocol | {"sasl.password": "s3cr3t-p4ss"} | config
    with pytest.raises(CollectorError, match=expected) as error:
        kafka_offsets(Settings(kafka_bootstrap_servers="127.0.0.1:9", kafka_config=given), EXPECTED)
    assert "s3cr3t" not in str(error.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "PLAIN"}, r"SASL .*: correct the sasl\.\* entries"),
        ({"security.protocol": "SSL"}, "PLAINTEXT broker listener|SSL_HANDSHAKE"),
    ],
)
def test_a_broker_that_speaks_otherwise_says_so(
    cluster: MockKafka, config: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "_TIMEOUT", 4)
    with pytest.raises(CollectorError, match=expected):
        _offsets(cluster, **config, **{"sasl.username": "me", "sasl.password": "s3cr3t"})


def test_a_token_is_fetched_by_oidc_and_its_refusal_told(
    cluster: MockKafka, server: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "_TIMEOUT", 4)
    server.says({"error": "invalid_client"}, 401)
    config = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanisms": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
    }
    config |= {"sasl.oauthbearer.client.id": "me", "sasl.oauthbearer.client.secret": "s3cr3t"}
    with pytest.raises(CollectorError, match=r"OAUTHBEARER token.*invalid_client.*: correct the sasl"):
        _offsets(cluster, **config, **{"sasl.oauthbearer.token.endpoint.url": f"{server.url}/token"})


def test_a_broker_that_hangs_is_an_error_and_leaves_nothing_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "_TIMEOUT", 4)
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(CollectorError, match=f"{address}: .*: check KAFKA_BOOTSTRAP_SERVERS"):
            kafka_offsets(Settings(kafka_bootstrap_servers=address), EXPECTED)
    assert len(os.listdir("/proc/self/task")) <= threads  # noqa: PTH208


@pytest.mark.parametrize("given", ["s3cr3t", '["s3cr3t"]', '{"sasl.password": s3cr3t}', "7"])
def test_a_configuration_that_is_no_json_is_an_error_of_its_collector(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setenv("KAFKA_CONFIG", given)
    (problem,) = gather(Settings(), EXPECTED)["kafka_offsets"].problems
    assert "KAFKA_CONFIG is not a JSON object: write it like" in problem
    assert "s3cr3t" not in problem


def test_numbers_and_booleans_of_the_configuration_are_text_to_librdkafka(
    cluster: MockKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", cluster.servers)
    monkeypatch.setenv("KAFKA_CONFIG", '{"socket.timeout.ms": 10000, "socket.keepalive.enable": true}')
    assert len(kafka_offsets(Settings(), EXPECTED[:1]).rows) == 2


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("KAFKA_CONNECT_URL", "connect:8083/s3cr3t", "is not an address: write it like"),
        ("KAFKA_CONNECT_URL", "http://", "is not an address: write it like"),
        ("KAFKA_CONNECT_URL", "http://h:s3cr3t", "is not an address: write it like"),
        ("KAFKA_CONNECT_URL", "http://me:s3cr3t@127.0.0.1:8083", "must not hold credentials: give KAFKA_CONNECT_USER"),
        ("CONFLUENT_METRICS_URL", "ftp://s3cr3t", "is not an address: write it like"),
        ("CONFLUENT_METRICS_URL", "https://me:s3cr3t@h", "must not hold credentials: give the Cloud API key"),
        ("KAFKA_SECRET_ID", '{"api_secret": "s3cr3t"}', "is neither the name nor the ARN"),
    ],
)
def test_a_malformed_setting_is_an_error_of_its_collector_which_hides_it(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, said: str
) -> None:
    for name, text in CLOUD.items() if "METRICS" in setting else ():
        monkeypatch.setenv(name.upper(), text)
    monkeypatch.setenv(setting, value)
    (found,) = gather(Settings(), CONSUMED).values()
    assert found.rows == []
    assert f"{setting} {said}" in found.problems[0]
    assert "s3cr3t" not in found.problems[0]


# What lands.


def _runs(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return warehouse.sql("select collector, row_count, error from STREAMING.COLLECTOR_RUNS order by 1")


def test_a_collection_lands_its_rows_and_how_it_came_off(
    warehouse: Warehouse, cluster: MockKafka, server: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.sql("delete from STREAMING.COLLECTOR_RUNS")
    # A trace that somebody cut within a character.
    failed = {"id": 1, "state": "FAILED", "worker_id": "w:1", "trace": "a duck: \ud83e"}
    server.says(_connector("mock-sink", tasks=[{"id": 0, "state": "RUNNING"}, failed]) | {"bad": None})
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", cluster.servers)
    monkeypatch.setenv("KAFKA_CONNECT_URL", server.url)
    assert collectors.collect(warehouse.dbt, T1) == []
    (connect, offsets) = _runs(warehouse)
    assert offsets == ("kafka_offsets", 2, None)
    # With the one that the seeds expect, and that is MISSING.
    assert connect[:2] == ("connector_status", 4)
    assert "connector bad" in connect[2]
    assert warehouse.sql(
        "select task_id, tasks_max, trace from STREAMING.CONNECTOR_STATUS where connector = 'mock-sink' "
        "order by 1 nulls first"
    ) == [(None, 2, None), (0, None, None), (1, None, "a duck: ?")]
    assert warehouse.sql(
        "select partition, log_end_offset, consumer_lag_offsets from STREAMING.KAFKA_OFFSETS "
        f"where collected_at = '{T1[:-1]}' order by 1"
    ) == [(0, 4, None), (1, 4, None)]


def test_an_error_lands_on_one_line_and_is_no_outcome(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    warehouse.sql("delete from STREAMING.COLLECTOR_RUNS")
    said = Collected([], ["first\nline", "second \x1b[31m"])
    monkeypatch.setattr(collectors, "configured", lambda _: {"connector_status": lambda *_: said})
    assert collectors.collect(warehouse.dbt, T1) == []
    assert _runs(warehouse) == [("connector_status", 0, "first line; second  [31m")]
    assert "collecting connector_status: first line" in caplog.text


def test_what_cannot_be_landed_is_an_outcome_and_the_others_land(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.sql("delete from STREAMING.COLLECTOR_RUNS", "drop table STREAMING.CONNECTOR_STATUS")
    row = {"connector": "x", "task_id": None, "state": "RUNNING", "worker_id": None, "trace": None}
    lag = {"consumer_group": "g", "topic": "orders", "partition": 0, "consumer_lag_offsets": 5}
    by_table = {"connector_status": lambda *_: Collected([row]), "kafka_offsets": lambda *_: Collected([lag])}
    monkeypatch.setattr(collectors, "configured", lambda _: by_table)
    (outcome,) = collectors.collect(warehouse.dbt, T1)
    assert (outcome.name, outcome.is_broken) == ("connector_status", True)
    (connect, offsets) = _runs(warehouse)
    assert connect[:2] == ("connector_status", 0)
    assert "could not be landed" in connect[2]
    assert offsets == ("kafka_offsets", 1, None)


@pytest.mark.parametrize("fault", [lambda *_: Collected(), lambda *_: {}["k3y of KAFKA"]])
def test_a_collector_without_rows_or_with_a_fault_has_an_error(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collectors, "configured", lambda _: {"connector_status": fault})
    found = gather(Settings(), [])["connector_status"]
    assert found.rows == []
    assert found.problems


def test_text_from_outside_lands_as_it_is(warehouse: Warehouse) -> None:
    trace = (
        "it's \\ {{ 1 / 0 }} '); drop table STREAMING.ORDER_EVENTS; --\n\x00 <!channel> é \U0001f986 \x85 \u2028 \x7f"
    )
    row = {"connector": "o'sink", "task_id": 0, "state": "FAILED", "worker_id": None, "trace": trace}
    warehouse.dbt.run_operation("land_snapshot", T1, table="connector_status", rows=[row])
    landed = warehouse.sql(
        "select connector, trace, worker_id, collected_at::varchar "
        "from STREAMING.CONNECTOR_STATUS where connector = 'o''sink'"
    )
    assert landed == [("o'sink", trace.replace("\x00", ""), None, "2026-03-02 12:05:00")]


def test_a_snapshot_of_many_rows_lands_in_steps(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"connector": f"many-{n}", "state": "RUNNING", "trace": "x" * 100} for n in range(5000)]
    warehouse.dbt.run_operation("land_snapshot", T1, table="connector_status", rows=rows)
    assert warehouse.sql(
        "select count(*), count(distinct connector) from STREAMING.CONNECTOR_STATUS where connector like 'many-%'"
    ) == [(5000, 5000)]


def test_a_macro_whose_arguments_cannot_be_read_does_not_repeat_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner.yaml, "dump", lambda *_, **__: "s3cr3t: [\n" * 1000)
    with pytest.raises(runner.DbtError, match=r"^land_snapshot: .*its arguments are not valid YAML") as error:
        runner.Dbt().run_operation("land_snapshot", T1, rows=[])
    assert "s3cr3t" not in str(error.value)


def test_a_secret_is_found_in_an_address_and_by_its_lines_and_a_short_one_as_a_word() -> None:
    secrets = {"a+b/c=d!", "first line of a key\nsecond line of a key", "me"}
    text = "a%2Bb%2Fc%3Dd%21 a+b/c=d! second line of a key, some me"
    assert redact(text, secrets) == "*** *** ***, some ***"


HIDDEN = 'p4ss"w/rd+\\X'
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEvQ+/=\nabc\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    "form",
    [
        HIDDEN,
        json.dumps(HIDDEN)[1:-1],
        quote(HIDDEN),
        quote(HIDDEN, safe=""),
        re.sub("%..", lambda found: found[0].lower(), quote(HIDDEN, safe="")),
        base64.b64encode(HIDDEN.encode()).decode().rstrip("="),
    ],
)
def test_a_secret_is_found_in_each_of_its_forms(form: str) -> None:
    assert redact(f"by {form}, no", {HIDDEN}) == "by ***, no"


@pytest.mark.parametrize("length", [150, 5000])
@pytest.mark.parametrize(("width", "end"), [(64, "\n"), (76, "\r\n"), (70, "\\n"), (100, "\n    ")])
def test_a_key_that_was_broken_into_lines_is_found(length: int, width: int, end: str) -> None:
    key = base64.b64encode(random.Random(1).randbytes(length)).decode()
    text = end.join(key[at : at + width] for at in range(0, len(key), width))
    assert redact(f"key {text} is bad", {key}) == "key *** is bad"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET https://usr:pw@host:1/x failed", "GET https://***@host:1/x failed"),
        ("Authorization: Bearer a.b-c, x", "Authorization: Bearer ***, x"),
        ("{Authorization=Basic dXNyOg==}", "{Authorization=Basic ***}"),
        ("sent Bearer abc12345", "sent Bearer ***"),
        ('{"password": "x \\" y", "a": 1}', '{"password": ***, "a": 1}'),
        ('{\\"client_secret\\": \\"x\\"}', '{\\"client_secret\\": ***}'),
        ("password: x", "password: ***"),
        ("db.password = x", "db.password = ***"),
        ("api_key=x&apikey=x&sig=x&X-Amz-Signature=x&a=1", "api_key=***&apikey=***&sig=***&X-Amz-Signature=***&a=1"),
        ("aws_secret_access_key=x/y+z=", "aws_secret_access_key=***"),
        ("AWSAccessKey: x, clientSecret='x'", "AWSAccessKey: ***, clientSecret=***"),
        ('jaas.config=X required username="u" password="x";', 'jaas.config=X required username="u" password=***;'),
        (f"key {PEM} at", "key *** at"),
        (f"key {PEM[:50]}", "key ***"),
        (json.dumps({"k": PEM}), '{"k": "***"}'),
        ("jwt eyJhbGciOi.eyJzdWIi.abc_-, x", "jwt ***, x"),
        # Nothing to hide.
        *((text, text) for text in (
            "Invalid token at line 3",
            "token expired",
            "password:\n\tat org.x.Y(Z.java:1)",
            "Basic authentication failed",
            "key.converter=org.apache.kafka.connect.storage.StringConverter",
            "https://host:8083/a?max.tokens=5",
        )),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_hidden_and_the_rest_is_not(text: str, shown: str) -> None:
    assert redact(text, ()) == shown


def test_many_secrets_and_a_text_made_to_be_slow_take_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    hide = redactor(f"{n}-secret-{n}" for n in range(25_000))
    # A pattern that tries every end from every start would need hours of the processor.
    started = time.thread_time()
    for part in (
        "/",
        "//a",
        "eyJa.",
        "Bearer aaaaaaaa",
        "password",
        'password:"',
        "-----BEGIN PRIVATE KEY-----",
        "\\",
        "=",
    ):
        hide(part * (200_000 // len(part)))
    assert hide("at 24999-secret-24999x") == "at ***x"
    assert time.thread_time() - started < 60


def test_a_connector_tells_no_secret_of_another_nor_one_as_state_or_worker(server: Web) -> None:
    config = {
        "x.password": "hidden-one",
        "basic.auth.user.info": "usr:hidden-two",
        "gcs.credentials.json": json.dumps({"private_key": "hidden-three"}),
        "key.converter.basic.auth.user.info": "hidden-four",
        "transforms.key.fields": "order_id",
        "transforms.key.type": "org.apache.kafka.connect.transforms.ValueToKey",
    }
    text = (
        f"private_key of order_id in {config['transforms.key.type']}: hidden-one, hidden-two, hidden-three, hidden-four"
    )
    answer = _connector("told", tasks=[{"id": 0, "state": "hidden-one", "worker_id": "hidden-two", "trace": text}])
    answer |= _connector("other")
    answer["other"]["info"]["config"] = config
    row = _status(server.says(answer)).rows[1]
    assert row == {
        "connector": "told",
        "task_id": 0,
        "state": "***",
        "worker_id": "***",
        "trace": f"private_key of order_id in {config['transforms.key.type']}: ***, ***, ***, ***",
    }


@pytest.mark.parametrize(("before", "kept"), [(9995, "x" * 9995 + "***"), (10_005, "x" * 10_000)])
def test_of_a_long_trace_the_start_is_kept_and_no_part_of_a_secret(server: Web, before: int, kept: str) -> None:
    trace = "x" * before + PASSWORD + " " + PASSWORD + "y" * 100_000
    task = {"id": 0, "state": "FAILED", "trace": trace}
    landed = _status(server.says(_connector(tasks=[task]))).rows[1]["trace"]
    assert landed == f"{kept} ... and {len(trace) - 10_000} more characters"
