"""Log start, log end and committed offset of every partition of the expected topics, from the broker."""

from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from orchestration.settings import Settings

_TIMEOUT = 15


def kafka_offsets(settings: Settings, expected: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """One row per consumer group, topic and partition that the broker has; a topic that it lacks has none.

    Raises confluent_kafka.KafkaException if the broker does not answer or refuses.
    """
    if settings.kafka_bootstrap_servers is None:
        return None
    more = {name: value.get_secret_value() for name, value in settings.kafka_config.items()}
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers, **more})
    topics = admin.list_topics(timeout=_TIMEOUT).topics
    rows = []
    for group in sorted({row["consumer_group"] for row in expected}):
        wanted = [row["topic"] for row in expected if row["consumer_group"] == group and row["topic"] in topics]
        partitions = [TopicPartition(topic, p) for topic in wanted for p in topics[topic].partitions]
        if not partitions:
            continue
        starts = admin.list_offsets({p: OffsetSpec.earliest() for p in partitions}, request_timeout=_TIMEOUT)
        ends = admin.list_offsets({p: OffsetSpec.latest() for p in partitions}, request_timeout=_TIMEOUT)
        groups = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, partitions)])
        committed = {(p.topic, p.partition): p.offset for p in groups[group].result(_TIMEOUT).topic_partitions}
        for partition in partitions:
            offset = committed.get((partition.topic, partition.partition), -1)
            rows.append(
                {
                    "consumer_group": group,
                    "topic": partition.topic,
                    "partition": partition.partition,
                    "log_start_offset": starts[partition].result(_TIMEOUT).offset,
                    "log_end_offset": ends[partition].result(_TIMEOUT).offset,
                    # A negative offset means that the group never committed, which is not 0.
                    "committed_offset": offset if offset >= 0 else None,
                }
            )
    return rows
