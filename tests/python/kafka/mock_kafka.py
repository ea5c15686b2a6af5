"""librdkafka's mock cluster, with the part of its C interface that Python does not show: topics, errors, brokers."""

import ctypes
import logging
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import confluent_kafka
from confluent_kafka import Consumer, Producer, TopicPartition

# Keys of Kafka's protocol.
LIST_OFFSETS, METADATA, OFFSET_FETCH, FIND_COORDINATOR = 2, 3, 9, 10
_P, _INT, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p


def _library() -> Any:
    (file,) = (Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs").glob("librdkafka-*")
    library = ctypes.CDLL(str(file))
    library.rd_kafka_handle_mock_cluster.restype = _P
    library.rd_kafka_handle_mock_cluster.argtypes = [_P]
    library.rd_kafka_mock_topic_create.argtypes = [_P, _TEXT, _INT, _INT]
    library.rd_kafka_mock_topic_set_error.argtypes = [_P, _TEXT, _INT]
    library.rd_kafka_mock_partition_set_leader.argtypes = [_P, _TEXT, ctypes.c_int32, ctypes.c_int32]
    library.rd_kafka_mock_broker_set_down.argtypes = [_P, ctypes.c_int32]
    library.rd_kafka_mock_push_request_errors_array.argtypes = [
        _P,
        ctypes.c_int16,
        ctypes.c_size_t,
        ctypes.POINTER(_INT),
    ]
    return library


class MockKafka:
    """A cluster that lives as long as this object."""

    def __init__(self, brokers: int = 1) -> None:
        self.producer = Producer({"bootstrap.servers": "ignored", "test.mock.num.brokers": brokers, "log_level": 0})
        self._library = _library()
        # The first field of a client object of Python is librdkafka's handle.
        handle = ctypes.c_void_p.from_address(id(self.producer) + object.__basicsize__).value
        self._cluster = self._library.rd_kafka_handle_mock_cluster(handle)
        found = self.producer.list_topics(timeout=10).brokers.values()
        self.servers = ",".join(f"{broker.host}:{broker.port}" for broker in found)

    def create(self, topic: str, partitions: int, records: int = 0) -> None:
        """A topic with `records` in each partition."""
        assert self._library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1) == 0
        for n in range(partitions * records):
            self.producer.produce(topic, partition=n % partitions, value=b"{}")
        assert self.producer.flush(10) == 0

    def commit(self, group: str, *offsets: tuple[str, int, int]) -> None:
        settings = {"bootstrap.servers": self.servers, "group.id": group, "enable.auto.commit": False, "log_level": 0}
        consumer = Consumer(settings)
        consumer.commit(offsets=[TopicPartition(*offset) for offset in offsets], asynchronous=False)
        consumer.close()

    def fail(self, request: int, *errors: int) -> None:
        """The next requests of this kind are answered with these error codes."""
        codes = (_INT * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, request, len(errors), codes)

    def refuse_topic(self, topic: str, error: int) -> None:
        self._library.rd_kafka_mock_topic_set_error(self._cluster, topic.encode(), error)

    def set_leader(self, topic: str, partition: int, broker: int) -> None:
        self._library.rd_kafka_mock_partition_set_leader(self._cluster, topic.encode(), partition, broker)

    def stop(self, broker: int = 1) -> None:
        self._library.rd_kafka_mock_broker_set_down(self._cluster, broker)


@contextmanager
def requests_sent() -> Iterator[Counter[str]]:
    """Counts what the collector's clients send; they have to be polled for it, or closed."""
    from orchestration.collectors import kafka

    sent: Counter[str] = Counter()

    class Count(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if found := re.search(r"Sent (\w+)Request", record.getMessage()):
                sent[found[1]] += 1

    logger = logging.getLogger("librdkafka.requests")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.handlers = [Count()]
    debugged = {"debug": "protocol", "log_level": "7"}
    admin_client, consumer = kafka.AdminClient, kafka.Consumer

    class Counted(admin_client):  # type: ignore[misc, valid-type]
        def __init__(self, config: dict[str, Any]) -> None:
            super().__init__(config | debugged, logger=logger)

        def __exit__(self, *error: Any) -> Any:
            while self.poll(0.05):
                pass
            return super().__exit__(*error)

    class CountedConsumer(consumer):  # type: ignore[misc, valid-type]
        def __init__(self, config: dict[str, Any]) -> None:
            super().__init__(config | debugged, logger=logger)

        def close(self) -> None:
            self.poll(0.05)
            super().close()

    kafka.AdminClient, kafka.Consumer = Counted, CountedConsumer
    try:
        yield sent
    finally:
        kafka.AdminClient, kafka.Consumer = admin_client, consumer
