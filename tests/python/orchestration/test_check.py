"""`python -m orchestration check`: what it says of connections that work, and of each thing that is wrong."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError
from prefect.settings import PREFECT_API_KEY, PREFECT_API_URL, temporary_settings
from rich.console import Console

from orchestration import check
from orchestration.collectors import kafka, web
from orchestration.outcomes import DbtError
from orchestration.seeds import Finding
from tests.python.kafka.mock_kafka import OFFSET_FETCH, MockKafka
from tests.python.web import Receiver, Web

REFUSED = KafkaError.TOPIC_AUTHORIZATION_FAILED
GROUP, SINK = "connect-snowflake-orders-sink", "snowflake-orders-sink"
SECRETS = {"KAFKA_CONNECT_PASSWORD": "c0nnect-p4ss", "CONFLUENT_CLOUD_API_SECRET": "cl0ud-s3cret"}


class Place:
    """All that a check looks at, in order; a fault changes it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch
        self.cluster, self.connect, self.cloud, self.prefect = MockKafka(), Web(), Web(), Web()
        self.cluster.create("orders", 6, 1)
        self.cluster.commit(GROUP, ("orders", 0, 1))
        self.tasks = [{"id": n, "state": "RUNNING", "worker_id": "w"} for n in range(2)]
        self.config = {"tasks.max": "2"}
        self.name, self.state = SINK, "RUNNING"
        self.findings: list[Finding] = []
        self.prefect.says("true")
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        patch.setenv("KAFKA_BOOTSTRAP_SERVERS", self.cluster.servers)
        patch.setenv("KAFKA_CONNECT_URL", self.connect.url)
        patch.setenv("KAFKA_CONNECT_USER", "me")
        patch.setenv("CONFLUENT_METRICS_URL", self.cloud.url)
        patch.setenv("CONFLUENT_CLOUD_API_KEY", "me")

    def query(self) -> None:
        pass

    def run(self, findings: Callable[[], list[Finding]] | None = None) -> tuple[bool, dict[str, tuple[str, str]]]:
        """Whether all is well, and by connection its state and text."""
        if not self.connect.answers:
            status = {"connector": {"state": self.state, "worker_id": "w"}, "tasks": self.tasks}
            self.connect.says({self.name: {"status": status, "info": {"config": self.config}}})
        console = Console(width=400, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
        with temporary_settings({PREFECT_API_URL: self.prefect.url, PREFECT_API_KEY: "pr3fect-k3y"}):
            well = check.show_check(console, self.query, findings or (lambda: self.findings))
        said = console.export_text()
        assert not [secret for secret in (*SECRETS.values(), "pr3fect-k3y") if secret in said]
        lines = [line for line in said.splitlines() if any(s in line for s in ("  ok  ", "FAILED", "not configured"))]
        cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
        return well, {cell[0]: (cell[1], " ".join(cell[2:])) for cell in cells}


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(kafka, "_TIMEOUT", 2)
    monkeypatch.setattr(web, "_TRIES", 1)
    place = Place(monkeypatch)
    yield place
    for server in (place.connect, place.cloud, place.prefect):
        server.stop()


def test_all_that_is_right_is_ok(place: Place) -> None:
    well, lines = place.run()
    assert well
    assert {what: state for what, (state, _) in lines.items()} == {
        "seeds": "ok",
        "warehouse (local)": "ok",
        "Kafka brokers": "ok",
        "topic orders": "ok",
        "Kafka Connect": "ok",
        f"connector {SINK}": "ok",
        "Prefect API": "ok",
        "Metrics API": "not configured",
        "slack": "not configured",
        "pagerduty": "not configured",
        "webhook": "not configured",
        "prefect": "not configured",
        "AWS secret of Snowflake": "not configured",
        "AWS secret of Kafka": "not configured",
    }
    assert lines["topic orders"][1] == f"6 partitions; group {GROUP}, committed in 1"


def test_a_setting_that_cannot_be_used_is_named(place: Place) -> None:
    place.patch.setenv("STREAMING_OPS_MIN_EVENTS", "ten")
    well, lines = place.run()
    assert not well
    assert "'ten'" in lines["STREAMING_OPS_MIN_EVENTS"][1]
    assert lines["Kafka brokers"][0] == "ok"


def test_a_group_that_never_committed_may_be_another_ones_name(place: Place) -> None:
    place.patch.setattr(check, "_seed", _seeds(group="another"))
    well, lines = place.run()
    assert well
    assert "committed in 0: it never did here; check consumer_group in seeds/" in lines["topic orders"][1]


def test_the_metrics_api_stands_in_for_brokers_and_yields_to_them(place: Place) -> None:
    place.patch.setenv("CONFLUENT_CLUSTER_ID", "lkc-1")
    assert "brokers are configured, and win" in place.run()[1]["Metrics API"][1]
    place.patch.delenv("KAFKA_BOOTSTRAP_SERVERS")
    labels = {"metric.topic": "orders", "metric.partition": "0"}
    place.cloud.says({"data": [{"timestamp": "2026-03-02T12:00:00Z", "value": 3} | labels]})
    well, lines = place.run()
    assert well
    assert (lines["Metrics API"][0], lines["Kafka brokers"][0]) == ("ok", "not configured")


def test_a_receiver_that_is_set_is_named_and_sent_nothing(place: Place, slack: Receiver) -> None:
    assert "test-alert" in place.run()[1]["slack"][1]
    assert slack.received == []


def _no_warehouse(place: Place) -> None:
    def query() -> None:
        raise DbtError("no such account")

    place.query = query  # type: ignore[method-assign]


def _refused_metrics(place: Place) -> None:
    place.patch.delenv("KAFKA_BOOTSTRAP_SERVERS")
    place.patch.setenv("CONFLUENT_CLUSTER_ID", "lkc-1")
    place.cloud.says({"errors": [{"detail": "no cl0ud-s3cret"}]}, 401)


def _failed_task(place: Place) -> None:
    place.tasks[1] |= {"state": "FAILED", "trace": "it's over\n\tat x"}


def _aws_out_of_reach(place: Place) -> None:
    places = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_REGION": "eu-central-1", "KAFKA_SECRET_ID": "k"}
    for name, value in (places | {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}).items():
        place.patch.setenv(name, value)


@pytest.mark.parametrize(
    ("fault", "what", "said"),
    [
        (lambda p: p.findings.append(Finding("seeds/x.csv", 3, "[b]bad")), "seeds/x.csv line 3", "[b]bad"),
        (_no_warehouse, "warehouse (local)", "no such account"),
        (lambda p: p.patch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9"), "Kafka brokers", "Connection refused"),
        (lambda p: p.patch.setenv("KAFKA_CONFIG", "s3cr3t"), "Kafka brokers", "KAFKA_CONFIG is not a JSON object"),
        (lambda p: p.cluster.refuse_topic("orders", REFUSED), "Kafka brokers", "topic orders"),
        (lambda p: p.cluster.fail(OFFSET_FETCH, 30), "Kafka brokers", f"group {GROUP}: "),
        (lambda p: p.patch.setattr(check, "_seed", _seeds(partitions="7")), "topic orders", "has 6 partitions, "),
        (lambda p: p.patch.setattr(check, "_seed", _seeds(more="gone")), "topic gone", "is not there"),
        (lambda p: p.patch.setenv("KAFKA_CONNECT_URL", "http://127.0.0.1:9"), "Kafka Connect", "check KAFKA_CON"),
        (lambda p: p.connect.says("", 401), "Kafka Connect", "401 Unauthorized: check KAFKA_CONNECT_USER"),
        (lambda p: setattr(p, "name", "other"), f"connector {SINK}", "is not there, but other"),
        (lambda p: setattr(p, "state", "PAUSED"), f"connector {SINK}", "PAUSED: resume it"),
        (_failed_task, f"connector {SINK}", "task 1 is FAILED (it's over): mend the cause, then restart it"),
        (lambda p: setattr(p, "state", "DEGRADED"), f"connector {SINK}", "DEGRADED: look at the worker's log"),
        (lambda p: p.tasks.pop(), f"connector {SINK}", "1 tasks, tasks.max is 2, expected are 2"),
        (lambda p: p.config.update({"tasks.max": "3"}), f"connector {SINK}", "2 tasks, tasks.max is 3"),
        (_refused_metrics, "Metrics API", "must be a Cloud API key"),
        (_aws_out_of_reach, "AWS secret of Kafka", "EndpointConnectionError"),
        (lambda p: p.prefect.answers.insert(0, (401, "", {})), "Prefect API", "check PREFECT_API_URL"),
    ],
)  # fmt: skip
def test_each_thing_that_is_wrong_is_told(place: Place, fault: Callable[[Place], Any], what: str, said: str) -> None:
    fault(place)
    well, lines = place.run()
    assert not well
    assert lines[what][0] == "FAILED"
    assert said in lines[what][1]


def _seeds(partitions: str = "6", more: str = "", group: str = GROUP) -> Callable[[str], list[dict[str, str]]]:
    topic = {"topic": "orders", "partitions": partitions, "consumer_group": group, "connector": SINK}
    topics = [topic, *([topic | {"topic": more}] if more else [])]
    return lambda name: topics if name == "expected_topics" else [{"connector": SINK, "tasks": "2"}]


def test_a_failure_to_look_for_mistakes_hides_no_connection(place: Place) -> None:
    def findings() -> list[Finding]:
        raise KeyError("vars")

    well, lines = place.run(findings)
    assert not well
    assert lines["seeds"] == ("FAILED", "KeyError: 'vars'")
    assert lines["Prefect API"][0] == "ok"


def test_what_comes_from_outside_steers_no_terminal(place: Place) -> None:
    place.name = "x\x1b]0;title\x07\n[bold]y"
    well, lines = place.run()
    assert not well
    told = json.dumps(lines[f"connector {SINK}"])
    assert "\\u001b" not in told
    assert "[bold]y" in told
