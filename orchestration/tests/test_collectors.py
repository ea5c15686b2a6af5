"""The collectors against real protocol: an HTTP server that speaks Kafka Connect, and librdkafka's mock cluster."""

import http.server
import json
import threading
from collections.abc import Iterator

import httpx
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from orchestration import collectors
from orchestration.collectors.connect import connector_status
from orchestration.collectors.kafka import kafka_offsets
from orchestration.settings import Settings
from orchestration.tests.conftest import Warehouse

EXPECTED = [{"topic": "orders", "consumer_group": "sink"}, {"topic": "not-there", "consumer_group": "sink"}]
STATUS = {
    "sink": {
        "status": {
            "name": "sink",
            "connector": {"state": "RUNNING", "worker_id": "w:8083"},
            "tasks": [
                {"id": 0, "state": "RUNNING", "worker_id": "w:8083"},
                {
                    "id": 1,
                    "state": "FAILED",
                    "worker_id": "w:8083",
                    "trace": "java.lang.Exception: it's \\ broken\n\tat x",
                },
            ],
            "type": "sink",
        }
    }
}


@pytest.fixture
def connect() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            authorized = self.headers["Authorization"] == "Basic bWU6cGFzcw=="
            self.send_response(200 if authorized and self.path == "/base/connectors?expand=status" else 401)
            self.end_headers()
            self.wfile.write(json.dumps(STATUS).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/base/"
    server.shutdown()
    server.server_close()


def test_a_connector_and_its_tasks_become_rows(connect: str) -> None:
    rows = connector_status(
        Settings(kafka_connect_url=connect, kafka_connect_user="me", kafka_connect_password="pass"), []
    )
    assert rows is not None
    assert [(r["connector"], r["task_id"], r["state"]) for r in rows] == [
        ("sink", None, "RUNNING"),
        ("sink", 0, "RUNNING"),
        ("sink", 1, "FAILED"),
    ]
    assert rows[2]["trace"].startswith("java.lang.Exception")


def test_a_refusal_of_kafka_connect_does_not_tell_the_password(connect: str) -> None:
    settings = Settings(kafka_connect_url=connect, kafka_connect_user="me", kafka_connect_password="wr0ng")
    with pytest.raises(httpx.HTTPStatusError, match="401") as error:
        connector_status(settings, [])
    assert "wr0ng" not in str(error.value)


def test_a_worker_without_connectors_is_told(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_CONNECT_URL", "http://127.0.0.1:9/")
    monkeypatch.setitem(collectors._COLLECTORS, "connector_status", lambda *_: [])
    (outcome,) = collectors.collect(warehouse.dbt, "2026-03-02T12:05:00Z")
    assert outcome.is_broken
    assert "lists nothing" in outcome.message


def test_what_is_not_configured_is_not_collected() -> None:
    assert connector_status(Settings(), []) is None
    assert kafka_offsets(Settings(), EXPECTED) is None


def test_offsets_come_from_the_broker() -> None:
    # The mock cluster lives in this producer's process; its address is in its metadata.
    producer = Producer({"bootstrap.servers": "ignored", "test.mock.num.brokers": 1})
    broker = next(iter(producer.list_topics(timeout=10).brokers.values()))
    servers = f"{broker.host}:{broker.port}"
    for n in range(7):
        producer.produce("orders", partition=n % 2, value=b"{}")
    producer.flush(10)
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "sink", "enable.auto.commit": False})
    consumer.commit(offsets=[TopicPartition("orders", 0, 3)], asynchronous=False)
    consumer.close()

    rows = kafka_offsets(Settings(kafka_bootstrap_servers=servers), EXPECTED)

    assert rows is not None
    found = {
        row["partition"]: (row["log_start_offset"], row["log_end_offset"], row["committed_offset"]) for row in rows
    }
    assert found[0] == (0, 4, 3)
    assert found[1] == (0, 3, None)
    assert {row["topic"] for row in rows} == {"orders"}


def test_a_broker_that_is_gone_is_an_error_that_does_not_tell_the_password(
    capfd: pytest.CaptureFixture[str],
) -> None:
    config = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "PLAIN", "sasl.username": "me"}
    settings = Settings(kafka_bootstrap_servers="127.0.0.1:9", kafka_config=config | {"sasl.password": "s3cr3t"})
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KafkaException) as error:
        patch.setattr("orchestration.collectors.kafka._TIMEOUT", 2)
        kafka_offsets(settings, EXPECTED)
    told = "".join(capfd.readouterr()) + repr(error.value) + repr(settings)
    assert "Connection refused" in told
    assert "s3cr3t" not in told


def test_text_from_outside_lands_as_it_is(warehouse: Warehouse) -> None:
    trace = "it's \\ {{ 1 / 0 }} '); drop table STREAMING.ORDER_EVENTS; --\n\x00 <!channel> é"
    row = {"connector": "o'sink", "task_id": 0, "state": "FAILED", "worker_id": None, "trace": trace}
    warehouse.dbt.run_operation("land_snapshot", "2026-03-02T12:05:00Z", table="connector_status", rows=[row])
    landed = warehouse.sql(
        "select connector, trace, worker_id, collected_at::varchar "
        "from STREAMING.CONNECTOR_STATUS where connector = 'o''sink'"
    )
    assert landed == [("o'sink", trace.replace("\x00", ""), None, "2026-03-02 12:05:00")]
