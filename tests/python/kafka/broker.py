"""A Kafka broker and a Kafka Connect worker: the real ones, each in a JVM of its own, on free ports of loopback."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from tests.python.warehouse import PROJECT_DIR

JARS = PROJECT_DIR / "target" / "kafka"
# Small, and compiled only once: these live for two minutes.
_JAVA = (
    "java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-cp", f"{JARS}/*",
)  # fmt: skip
_LOG_TAIL = 3000


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """What `condition` returns once it is true; an answer that does not come yet counts as false."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(KafkaException, httpx.HTTPError):
            if value := condition():
                return value
        time.sleep(0.1)
    raise TimeoutError(f"not within {seconds} s: {what}")


class Server:
    """A JVM that can be stopped, killed and started again."""

    def __init__(self, main: str, config: dict[str, Any], folder: Path, is_ready: Callable[[], Any]) -> None:
        self.main, self.is_ready = main, is_ready
        self.config, self.log = folder / f"{main}.properties", folder / f"{main}.log"
        self.config.write_text("".join(f"{name}={value}\n" for name, value in config.items()))
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Returns once it answers; RuntimeError with the end of its log if it does not."""
        with self.log.open("ab") as log:
            jvm = subprocess.Popen([*_JAVA, self.main, self.config], stdout=log, stderr=log)
        # Its standard input closes with this process, however that ends: even a killed test run leaves no JVM behind.
        watchdog = ("sh", "-c", f"read -r _; kill -9 {jvm.pid}")
        self._processes = [subprocess.Popen(watchdog, stdin=subprocess.PIPE, start_new_session=True), jvm]
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: jvm.poll() is not None or self.is_ready(), self.main)
            if jvm.poll() is None:
                return
        self.kill()
        raise RuntimeError(f"{self.main} did not start:\n{self.log.read_text()[-_LOG_TAIL:]}")

    def stop(self) -> None:
        for jvm in self._processes[1:]:
            jvm.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                jvm.wait(10)
        self.kill()

    def kill(self) -> None:
        """As a power cut would: nobody is told. The watchdog goes first, lest it kill who comes to have that number."""
        for process in self._processes:
            process.kill()
            process.communicate()
        self._processes = []


class Cluster:
    """One node of Kafka, which is broker and controller, and one worker of Kafka Connect."""

    def __init__(self, folder: Path) -> None:
        broker, controller, rest = _free_ports(3)
        self.servers = f"127.0.0.1:{broker}"
        self.admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0, "reconnect.backoff.max.ms": 200})
        self.rest = httpx.Client(base_url=f"http://127.0.0.1:{rest}", timeout=10)
        self.broker = Server(
            "kafka.Kafka",
            {
                "process.roles": "broker,controller",
                "node.id": 1,
                "listeners": f"PLAINTEXT://{self.servers},CONTROLLER://127.0.0.1:{controller}",
                "controller.listener.names": "CONTROLLER",
                "controller.quorum.voters": f"1@127.0.0.1:{controller}",
                "log.dirs": folder / "data",
                "offsets.topic.replication.factor": 1,
                "offsets.topic.num.partitions": 1,
                "group.initial.rebalance.delay.ms": 0,
                # After a crash it is let in again once its former self is given up.
                "broker.session.timeout.ms": 2000,
                "broker.heartbeat.interval.ms": 500,
                # A worker that was killed is missed after a second.
                "group.min.session.timeout.ms": 1000,
                "auto.create.topics.enable": "false",
                # The tests have a clock of their own, far from the broker's.
                "log.retention.ms": -1,
                "log.message.timestamp.after.max.ms": 2**63 - 1,
            },
            folder,
            lambda: self.admin.list_topics(timeout=1).brokers,
        )
        self.worker = Server(
            "org.apache.kafka.connect.cli.ConnectDistributed",
            {
                "bootstrap.servers": self.servers,
                "listeners": str(self.rest.base_url).rstrip("/"),
                "group.id": "connect-workers",
                **{f"{name}.storage.topic": f"connect-{name}" for name in ("config", "offset", "status")},
                **{f"{name}.storage.replication.factor": 1 for name in ("config", "offset", "status")},
                **{f"{name}.storage.partitions": 1 for name in ("offset", "status")},
                "key.converter": "org.apache.kafka.connect.storage.StringConverter",
                "value.converter": "org.apache.kafka.connect.storage.StringConverter",
                # On the class path, which is not scanned: the plugins' own lists say what there is.
                "plugin.discovery": "service_load",
                "scheduled.rebalance.max.delay.ms": 0,
                "session.timeout.ms": 3000,
                "heartbeat.interval.ms": 500,
            },
            folder,
            lambda: self.rest.get("health").is_success,
        )
        subprocess.run(
            [*_JAVA, "kafka.tools.StorageTool", "format", "-t", "streaming-ops-tests-00", "-c", self.broker.config],
            check=True,
        )

    def create_topic(self, name: str, partitions: int) -> None:
        """Once a topic of that name that is being deleted is gone."""
        new = NewTopic(name, partitions, 1)
        wait_for(lambda: self.admin.create_topics([new])[name].result() is None, f"topic {name} created")

    def delete_topic(self, name: str) -> None:
        self.admin.delete_topics([name])[name].result()
        wait_for(lambda: name not in self.admin.list_topics(timeout=5).topics, f"topic {name} deleted")

    def deploy(self, connector: str, tasks: int, **config: Any) -> None:
        """Creates the connector, or changes it, and waits until all of it runs."""
        config |= {"connector.class": "FileStreamSink", "tasks.max": tasks}
        # A worker that rebalances refuses.
        wait_for(lambda: self.rest.put(f"connectors/{connector}/config", json=config).is_success, f"{connector} taken")
        self.wait_for_states(connector, *["RUNNING"] * (tasks + 1))

    def wait_for_states(self, connector: str, *states: str, held: float = 0) -> None:
        """Waits until the connector and its tasks have had these states, in this order, for `held` seconds."""
        since = time.monotonic()

        def is_so() -> bool:
            nonlocal since
            status = self.rest.get(f"connectors/{connector}/status").raise_for_status().json()
            found = [member["state"] for member in (status["connector"], *status["tasks"])]
            if found != list(states):
                since = time.monotonic()
            return found == list(states) and time.monotonic() >= since + held

        wait_for(is_so, f"{connector}: {states}")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    if not any(JARS.glob("*.jar")):
        raise RuntimeError(f"No jars in {JARS}: `make test-kafka` fetches them.")
    cluster = Cluster(folder)
    try:
        cluster.broker.start()
        cluster.worker.start()
        yield cluster
    finally:
        cluster.worker.stop()
        cluster.broker.stop()
        cluster.rest.close()


def _free_ports(count: int) -> list[int]:
    """All are open at once, so that none is given twice."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [opened.getsockname()[1] for opened in sockets]
