"""Real faults of a real Kafka and a real Kafka Connect: what is collected, what rings, and that it ends with the fault.

Time is the tests' own: a step is five minutes however long it takes, and the records carry its clock.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import NewPartitions

from orchestration import runs
from orchestration.collectors import collect
from orchestration.runner import Outcome
from tests.python.kafka.broker import Cluster, running
from tests.python.kafka.sink import Sink
from tests.python.warehouse import PROJECT_DIR, Warehouse
from tests.python.web import Receiver, text_of

pytestmark = pytest.mark.kafka

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
# In every step as many records are produced into each partition that is produced to.
PRODUCED = 12
# What the collectors can tell. A sink that stands still also stops the throughput, which other tests look at.
ALERTS = (
    "partition_stalled", "partition_rewound", "partition_falling_behind", "partition_not_seen", "records_expired",
    "connector_not_running", "collector_failed", "monitoring_stale", "consumer_lag_above_limit",
)  # fmt: skip
# The state of a partition, connector or task, and what it rings: 1 warns, 2 fails.
RINGS = {
    "STALL": ("partition_stalled", 2),
    "STOP": ("partition_stalled", 2),
    "REWIND": ("partition_rewound", 2),
    "WARN": ("partition_falling_behind", 1),
    "UNKNOWN": ("partition_not_seen", 2),
    "PAUSED": ("connector_not_running", 1),
    "FAILED": ("connector_not_running", 2),
    "STOPPED": ("connector_not_running", 2),
    "MISSING": ("connector_not_running", 2),
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("kafka")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def base_warehouse(tmp_path_factory: pytest.TempPathFactory, _environment: None) -> Path:
    """In place of conftest's: nothing has landed here but what comes from Kafka."""
    file = tmp_path_factory.mktemp("base") / "warehouse.duckdb"
    subprocess.run(
        [sys.executable, "-c", "from orchestration import steps; steps.project()"],
        cwd=PROJECT_DIR,
        env=os.environ | {"STREAMING_OPS_DUCKDB_PATH": str(file)},
        check=True,
    )
    return file


def _as_of(minute: int) -> str:
    return f"{START + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%SZ}"


def _produce(cluster: Cluster, topic: str, minute: int, partitions: int = 1, count: int = PRODUCED) -> None:
    """Order events of the minute before, `count` into each partition."""
    created = START + timedelta(minutes=minute - 1)
    producer = Producer({"bootstrap.servers": cluster.servers, "linger.ms": 1})
    for n in range(count * partitions):
        order = f"{topic}-{minute}-{n}"
        content = {
            "event_id": order, "event_type": "order_created", "event_ts": f"{created:%Y-%m-%dT%H:%M:%SZ}",
            "order_id": order, "customer_id": "C1", "amount": 12.5, "currency": "EUR",
        }  # fmt: skip
        producer.produce(
            topic,
            json.dumps(content),
            key=order,
            partition=n % partitions,
            timestamp=int(created.timestamp() * 1000),
            headers={"source": "checkout"},
        )
    assert producer.flush(10) == 0


def _ringing(warehouse: Warehouse) -> dict[tuple[str, str], int]:
    """By alert and by what it rings for: the level."""
    return {
        (alert, entity.split(" of ")[0]): level
        for alert in ALERTS
        for entity, level in warehouse.sql(f"select entity, level from MONITORING.{alert} where level > 0")
    }


# --- every fault at once, each on a topic or a connector of its own ---------------------------------------------------
#
# Healthy up to minute 25, then the faults, which are repaired after minute 95; an hour later nothing remembers them.

BREAK, REPAIR = 25, 95
STEPS = [*range(0, 110, 5), 160, 165]
# ... and of these the ones that are looked at; - where a state is on its way to the next.
MINUTES = (25, 30, 40, 55, 95, 105, 165)
STATES = {
    #                         healthy   broken for                              repaired
    #                                   5 min     15 min    30 min    70 min    10 min    70 min
    "steady partition 0":     "OK        OK        OK        OK        OK        OK        OK",
    "quiet partition 0":      "IDLE      IDLE      IDLE      IDLE      IDLE      IDLE      IDLE",
    "behind partition 0":     "OK        OK        OK        OK        WARN      OK        OK",
    "halted partition 0":     "OK        OK        STALL     STOP      STOP      OK        OK",
    "overtaken partition 0":  "OK        OK        STALL     STOP      STOP      OK        OK",
    "rewound partition 0":    "OK        REWIND    STALL     STOP      STOP      OK        OK",
    "recreated partition 0":  "OK        REWIND    OK        OK        OK        OK        OK",
    "deleted partition 0":    "OK        -         -         UNKNOWN   UNKNOWN   OK        OK",
    "grown partition 0":      "OK        OK        OK        OK        OK        OK        OK",
    "grown partition 1":      "-         -         OK        OK        OK        OK        OK",
    "running":                "RUNNING   RUNNING   RUNNING   RUNNING   RUNNING   RUNNING   RUNNING",
    "running task 0":         "RUNNING   RUNNING   RUNNING   RUNNING   RUNNING   RUNNING   RUNNING",
    "running task 1":         "RUNNING   RUNNING   RUNNING   RUNNING   RUNNING   RUNNING   RUNNING",
    "paused":                 "RUNNING   PAUSED    PAUSED    PAUSED    PAUSED    RUNNING   RUNNING",
    "paused task 0":          "RUNNING   PAUSED    PAUSED    PAUSED    PAUSED    RUNNING   RUNNING",
    "stopped":                "RUNNING   STOPPED   STOPPED   STOPPED   STOPPED   RUNNING   RUNNING",
    "stopped task 0":         "RUNNING   MISSING   MISSING   MISSING   MISSING   RUNNING   RUNNING",
    "failed":                 "RUNNING   RUNNING   RUNNING   RUNNING   RUNNING   RUNNING   RUNNING",
    "failed task 0":          "RUNNING   FAILED    FAILED    FAILED    FAILED    RUNNING   RUNNING",
    "removed":                "RUNNING   -         -         MISSING   MISSING   RUNNING   RUNNING",
    "removed task 0":         "RUNNING   -         -         MISSING   MISSING   RUNNING   RUNNING",
}  # fmt: skip
# Of each partition, at the end of the faults: log start, log end and committed offset as they landed, and the lag. What
# landed is the truth of it: the group that went back to 10 had landed 72 before.
OFFSETS = {
    "steady partition 0":    (0, 240, 240, 0),
    "quiet partition 0":     (0, 0, None, 0),
    "behind partition 0":    (0, 240, 114, 126),
    "halted partition 0":    (0, 240, 72, 168),
    "overtaken partition 0": (100, 280, 72, 180),
    "rewound partition 0":   (0, 240, 10, 168),
    "recreated partition 0": (0, 168, 168, 0),
    "grown partition 0":     (0, 240, 240, 0),
    "grown partition 1":     (0, 168, 168, 0),
    "deleted partition 0":   (None, None, None, None),
}  # fmt: skip


class Life:
    """Topics and connectors that fall ill and get well again; what was seen of them, by minute."""

    def __init__(self, cluster: Cluster, warehouse: Warehouse) -> None:
        self.cluster, self.warehouse = cluster, warehouse
        self.topics = sorted({name.split()[0] for name in STATES if "partition" in name})
        # How many records the topic's sink lands in a step.
        self.landing = dict.fromkeys(self.topics, 1_000_000)
        self.states: dict[int, dict[str, str]] = {}
        self.ringing: dict[int, dict[tuple[str, str], int]] = {}
        self.outcomes: list[Outcome] = []

    def run(self) -> None:
        connectors = {"running": 2, "paused": 1, "stopped": 1, "failed": 1, "removed": 1}
        self.warehouse.sql(
            "delete from MONITORING.EXPECTED_TOPICS",
            "delete from MONITORING.EXPECTED_CONNECTORS",
            *(
                f"insert into MONITORING.EXPECTED_TOPICS values ('{topic}', 1, '{_group(topic)}', 'running')"
                for topic in self.topics
            ),
            *(f"insert into MONITORING.EXPECTED_CONNECTORS values {item}" for item in connectors.items()),
        )
        for topic in self.topics:
            self.cluster.create_topic(topic, 1)
        # The connectors read what no group of the topics reads, and not as one of them.
        self.cluster.create_topic("files", 2)
        for name, tasks in connectors.items():
            self.cluster.deploy(name, tasks, topics="files", file="/dev/null")
        # Its offsets come to be far ahead of what it will begin again with.
        _produce(self.cluster, "recreated", 0, count=500)
        for minute in STEPS:
            self.step(minute)
            if minute == BREAK:
                self.fall_ill()
            elif minute == REPAIR:
                self.get_well()
        for name in connectors:
            self.cluster.rest.delete(f"connectors/{name}").raise_for_status()

    def step(self, minute: int) -> None:
        topics = self.cluster.admin.list_topics(timeout=10).topics
        for topic in self.topics:
            if topic in topics and topic != "quiet":
                _produce(self.cluster, topic, minute, len(topics[topic].partitions))
                if self.landing[topic]:
                    sink = Sink(self.cluster.servers, topic, _group(topic), self.warehouse.file)
                    sink.land(START + timedelta(minutes=minute, seconds=-30), self.landing[topic])
        self.outcomes += collect(self.warehouse.dbt, _as_of(minute))
        if minute in MINUTES:
            self.warehouse.monitor(_as_of(minute))
            self.states[minute] = dict(
                self.warehouse.sql(
                    f"""
                    select topic || ' partition ' || partition, state
                    from MONITORING.CONSUMER_LAG where evaluated_at = '{_as_of(minute)[:-1]}'
                    union all
                    select connector || coalesce(' task ' || task_id, ''), own_state
                    from MONITORING.CONNECTOR_HEALTH where evaluated_at = '{_as_of(minute)[:-1]}'
                    """
                )
            )
            self.ringing[minute] = _ringing(self.warehouse)

    def fall_ill(self) -> None:
        admin, rest = self.cluster.admin, self.cluster.rest
        self.landing |= {"behind": 3, "halted": 0, "overtaken": 0, "rewound": 0}
        rewound = ConsumerGroupTopicPartitions(_group("rewound"), [TopicPartition("rewound", 0, 10)])
        admin.alter_consumer_group_offsets([rewound])[_group("rewound")].result()
        _produce(self.cluster, "overtaken", BREAK, count=40)
        for future in admin.delete_records([TopicPartition("overtaken", 0, 100)]).values():
            future.result()
        for topic in ("recreated", "deleted"):
            self.cluster.delete_topic(topic)
        self.cluster.create_topic("recreated", 1)
        admin.create_partitions([NewPartitions("grown", 2)])["grown"].result()

        rest.put("connectors/paused/pause").raise_for_status()
        rest.put("connectors/stopped/stop").raise_for_status()
        rest.delete("connectors/removed").raise_for_status()
        config = rest.get("connectors/failed/config").json()
        rest.put("connectors/failed/config", json=config | {"file": "/nowhere/orders.txt"}).raise_for_status()
        self.cluster.wait_for_states("paused", "PAUSED", "PAUSED")
        self.cluster.wait_for_states("stopped", "STOPPED")
        self.cluster.wait_for_states("failed", "RUNNING", "FAILED")

    def get_well(self) -> None:
        self.landing = dict.fromkeys(self.topics, 1_000_000)
        self.cluster.create_topic("deleted", 1)
        for name in ("paused", "stopped"):
            self.cluster.rest.put(f"connectors/{name}/resume").raise_for_status()
            self.cluster.wait_for_states(name, "RUNNING", "RUNNING")
        for name in ("failed", "removed"):
            self.cluster.deploy(name, 1, topics="files", file="/dev/null")


def _group(topic: str) -> str:
    return f"connect-{topic}-sink"


@pytest.fixture(scope="module")
def life(cluster: Cluster, base_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """All of it, once: the tests below look at what was seen."""
    file = Path(shutil.copy(base_warehouse, tmp_path_factory.mktemp("life")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMING_OPS_DUCKDB_PATH", str(file))
        _collect_from(cluster, patch)
        life = Life(cluster, Warehouse(file))
        life.run()
        yield life


@pytest.mark.parametrize("name", STATES)
def test_a_fault_has_its_state_and_ends_with_its_repair(life: Life, name: str) -> None:
    expected = dict(zip(MINUTES, STATES[name].split(), strict=True))
    seen = {minute: life.states[minute].get(name, "-") for minute in MINUTES}
    assert {m: state for m, state in seen.items() if expected[m] != "-"} == {
        m: state for m, state in expected.items() if state != "-"
    }


@pytest.mark.parametrize("minute", MINUTES)
def test_every_fault_rings_its_own_alert_and_no_other(life: Life, minute: int) -> None:
    states = {name: cells.split()[MINUTES.index(minute)] for name, cells in STATES.items()}
    judged = {name for name, state in states.items() if state != "-"}
    rings = {(RINGS[state][0], name): RINGS[state][1] for name, state in states.items() if state in RINGS}
    if BREAK < minute <= REPAIR:
        # What retention deleted is told by no state: at once, and until something newer lands.
        rings["records_expired", "overtaken partition 0"] = 2
    assert {key: level for key, level in life.ringing[minute].items() if key[1] in judged} == rings


def test_the_offsets_land_as_the_broker_has_them_and_lag_is_what_has_not_landed(life: Life) -> None:
    rows = life.warehouse.sql(
        f"""
        select
            landed.topic || ' partition ' || landed.partition,
            (landed.log_start_offset, landed.log_end_offset, landed.committed_offset, lag.lag_events)
        from STREAMING.KAFKA_OFFSETS as landed
        left join MONITORING.CONSUMER_LAG as lag
            on landed.collected_at = lag.evaluated_at
            and landed.topic = lag.topic
            and landed.partition = lag.partition
        where landed.collected_at = '{_as_of(REPAIR)[:-1]}'
        """
    )
    assert dict(rows) == OFFSETS


def test_the_states_land_as_the_worker_tells_them(life: Life) -> None:
    rows = life.warehouse.sql(
        f"""
        select connector || coalesce(' task ' || task_id, ''), state, worker_id, trace
        from STREAMING.CONNECTOR_STATUS where collected_at = '{_as_of(REPAIR)[:-1]}'
        """
    )
    at_the_end = {
        name: cells.split()[MINUTES.index(REPAIR)] for name, cells in STATES.items() if "partition" not in name
    }
    assert {name: state for name, state, *_ in rows} == {n: s for n, s in at_the_end.items() if s != "MISSING"}
    assert {worker for _, _, worker, _ in rows} == {life.cluster.rest.base_url.netloc.decode()}
    (trace,) = [trace for *_, trace in rows if trace]
    assert trace.startswith("org.apache.kafka.connect.errors.ConnectException: Couldn't find or create file")


def test_no_fault_of_the_stream_is_a_fault_of_its_collectors(life: Life) -> None:
    assert life.outcomes == []
    runs = life.warehouse.sql(
        "select collector, count(*), min(row_count) > 0, max(error) from STREAMING.COLLECTOR_RUNS group by 1 order by 1"
    )
    assert runs == [(name, len(STEPS), True, None) for name in ("connector_status", "kafka_offsets")]


# --- the stream that the seeds expect --------------------------------------------------------------------------------


class Stream:
    """Topic, sink and connector under their names in the seeds; a step produces and lands."""

    topic, partitions, connector = "orders", 6, "snowflake-orders-sink"

    def __init__(self, cluster: Cluster, warehouse: Warehouse) -> None:
        self.cluster = cluster
        self.sink = Sink(cluster.servers, self.topic, f"connect-{self.connector}", warehouse.file)

    def step(self, minute: int, **options: Any) -> str:
        # Few: of many that come at once an hour's baseline would expect as many in every minute.
        _produce(self.cluster, self.topic, minute, self.partitions, count=1)
        self.sink.land(START + timedelta(minutes=minute, seconds=-30), **options)
        return _as_of(minute)


@pytest.fixture
def stream(cluster: Cluster, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stream]:
    _collect_from(cluster, monkeypatch)
    stream = Stream(cluster, warehouse)
    cluster.create_topic(stream.topic, stream.partitions)
    # The sink commits as the connector's group: so the connector is in another.
    config = {"topics": stream.topic, "file": "/dev/null", "consumer.override.group.id": "files"}
    cluster.deploy(stream.connector, 2, **config)
    yield stream
    cluster.rest.delete(f"connectors/{stream.connector}").raise_for_status()
    cluster.delete_topic(stream.topic)


def _collect_from(cluster: Cluster, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("KAFKA_BOOTSTRAP_SERVERS", cluster.servers)
    patch.setenv("KAFKA_CONNECT_URL", str(cluster.rest.base_url))
    # For what is there it is long enough, and for what is not it is waited for in vain.
    patch.setattr("orchestration.collectors.kafka._TIMEOUT", 3, raising=False)


# Killed after minute 5, started again after minute 25.
FIRING = {
    0: {},
    5: {},
    10: {"collector_failed": "warn"},
    15: {"collector_failed": "warn"},
    20: {"collector_failed": "fail"},
    25: {"collector_failed": "fail", "monitoring_stale": "warn"},
    30: {},
}


@pytest.mark.parametrize(("server", "collector"), [("worker", "connector_status"), ("broker", "kafka_offsets")])
def test_a_server_that_is_killed_fails_its_collector_alone(
    server: str, collector: str, cluster: Cluster, warehouse: Warehouse, stream: Stream
) -> None:
    firing = {}
    for minute in FIRING:
        if minute == 10:
            getattr(cluster, server).kill()
        if minute == 30:
            getattr(cluster, server).start()
            # What it says at first is from before: then it finds that it was away, and has its tasks assigned again.
            cluster.wait_for_states(stream.connector, "RUNNING", "RUNNING", "RUNNING", held=5)
        if not 10 <= minute < 30:
            stream.step(minute)
        outcomes = collect(warehouse.dbt, _as_of(minute))
        assert {outcome.name for outcome in outcomes} <= {collector}
        firing[minute] = {a: status for a, status in warehouse.firing(_as_of(minute)).items() if a in ALERTS}
    assert firing == FIRING

    runs = warehouse.sql(
        f"""
        select collected_at = '{_as_of(20)[:-1]}', collector, row_count > 0, error is not null
        from STREAMING.COLLECTOR_RUNS where collected_at in ('{_as_of(20)[:-1]}', '{_as_of(30)[:-1]}') order by all
        """
    )
    assert runs == [
        (at_20, name, not failed, failed)
        for at_20 in (False, True)
        for name in ("connector_status", "kafka_offsets")
        for failed in [at_20 and name == collector]
    ]


def test_from_kafka_to_slack(warehouse: Warehouse, stream: Stream, slack: Receiver) -> None:
    for minute in (0, 5, 10):
        runs.tick(stream.step(minute))
    assert slack.received == []
    assert warehouse.sql("select count(*), count(distinct event_id) from ANALYTICS.FCT_ORDER_EVENTS") == [(18, 18)]

    for minute in (15, 20, 25):
        runs.tick(stream.step(minute, skipped={2}))
    text = text_of(slack.received[-1])
    assert "partition_stalled: FIRING" in text
    assert "orders partition 2 of connect-snowflake-orders-sink" in text
    assert "2 events" in text
    assert "partition 3" not in text

    # What waited shows in the latency for as long as its records are looked at.
    for minute in (30, 35, 40, 45, 50):
        runs.tick(stream.step(minute))
    headers = [sent["blocks"][0]["text"]["text"] for sent in slack.received]
    assert sum("partition_stalled: FIRING" in header for header in headers) == 1
    assert any("resolved" in header for header in headers)
    told = len(slack.received)
    runs.tick(stream.step(55))
    assert len(slack.received) == told
    assert warehouse.sql("select count(distinct event_id) from ANALYTICS.FCT_ORDER_EVENTS") == [(12 * 6,)]
