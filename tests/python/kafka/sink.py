"""What the Snowflake sink connector does, in short: a consumer group that reads a topic, lands its records, commits."""

import json
from collections.abc import Container, Iterator
from datetime import datetime
from pathlib import Path

import duckdb
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from orchestration import steps


class Sink:
    """It is only there while it lands: between, its group has no member, as one that was stopped."""

    def __init__(self, servers: str, topic: str, group: str, file: Path) -> None:
        self.servers, self.topic, self.group, self.file = servers, topic, group, file

    def land(self, as_of: datetime, limit: int = 1_000_000, skipped: Container[int] = ()) -> None:
        """Lands at most `limit` records, as pushed at `as_of`; none of the partitions that are `skipped`."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.servers,
                "group.id": self.group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,
            }
        )
        try:
            messages = list(_read(consumer, self.topic, limit, skipped))
            if messages:
                self._insert(messages, as_of)
                # In this order, as the connector: what is lost in between is landed twice, and never not at all.
                ends = {message.partition(): message.offset() + 1 for message in messages}
                consumer.commit(offsets=[TopicPartition(self.topic, *end) for end in ends.items()], asynchronous=False)
        finally:
            consumer.close()

    def _insert(self, messages: list[Message], as_of: datetime) -> None:
        # A process attaches a file once.
        steps.dbt().close()
        with duckdb.connect(self.file) as connection:
            connection.execute("set disabled_optimizers = 'statistics_propagation'")
            connection.executemany(
                "insert into STREAMING.ORDER_EVENTS (record_metadata, record_content) "
                "values (?::json::variant, ?::json::variant)",
                [(_metadata(message, as_of), message.value().decode()) for message in messages],
            )


def _read(consumer: Consumer, topic: str, limit: int, skipped: Container[int]) -> Iterator[Message]:
    known = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    positions = consumer.committed([TopicPartition(topic, p) for p in known if p not in skipped], timeout=10)
    for position in positions:
        position.offset = position.offset if position.offset >= 0 else OFFSET_BEGINNING
    consumer.assign(positions)
    unread = {position.partition for position in positions}
    while unread and limit > 0:
        message = consumer.poll(10)
        if message is None:
            raise TimeoutError(f"{topic} does not come to an end")
        if message.error() is None:
            limit -= 1
            yield message
        elif message.error().code() == KafkaError._PARTITION_EOF:
            unread.discard(message.partition())
        else:
            raise KafkaException(message.error())


def _metadata(message: Message, as_of: datetime) -> str:
    return json.dumps(
        {
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
            "key": message.key().decode(),
            "CreateTime": message.timestamp()[1],
            "SnowflakeConnectorPushTime": int(as_of.timestamp() * 1000),
            "headers": {name: value.decode() for name, value in message.headers() or []},
        }
    )
