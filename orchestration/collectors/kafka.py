"""Log start, log end and committed offset of every partition of the expected topics, from the brokers."""

import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from orchestration.collectors.base import NOTHING, SECONDS, Collected, CollectorError, Rows, redact, secrets_of
from orchestration.credentials import CredentialsError, with_kafka_secret
from orchestration.settings import Settings

_TIMEOUT = 10  # seconds, of each round: topics, offsets, and again those that failed
_PAUSES = (1, 3, 6)  # seconds before each of these: a new leader is soon elected
# Asking for a topic must not create it; what is wrong is in the errors, and not on stderr, again and again.
_DEFAULTS = {"log_level": "0", "allow.auto.create.topics": "false", "enable.metrics.push": "false"}
_GONE = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}
# The last is said where none of the partitions has one.
_NO_LEADER = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError._NOENT}
_PASSING = _NO_LEADER | {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError._TRANSPORT,
}
_ADVICE = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "allow this principal DESCRIBE on the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "allow this principal DESCRIBE on the group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "allow this principal DESCRIBE on the cluster",
    KafkaError._AUTHENTICATION: "correct the sasl.* entries of KAFKA_CONFIG, or the secret of KAFKA_SECRET_ID",
    KafkaError._SSL: "correct the ssl.* entries of KAFKA_CONFIG",
    KafkaError._INVALID_ARG: "correct KAFKA_CONFIG",
} | dict.fromkeys(_PASSING, "a broker is restarting or out of reach; if it lasts, look at the cluster")
_CHECK = "check KAFKA_BOOTSTRAP_SERVERS, security.protocol in KAFKA_CONFIG, and the network"


def kafka_offsets(settings: Settings, expected: Rows) -> Collected:
    """One row per consumer group, topic and partition.

    A partition that the brokers lack, or that has no leader, has a row without offsets; one whose offsets were not told
    for another reason has none. A group that was not told has rows without committed offset, which is otherwise NULL
    where it never committed: the lag does not depend on it.
    """
    deadline = time.monotonic() + SECONDS - _TIMEOUT
    try:
        settings = with_kafka_secret(settings)
    except CredentialsError as error:
        raise CollectorError(str(error)) from None
    secrets = secrets_of(settings, every_kafka_setting=True)
    given = {name: value.get_secret_value() for name, value in (settings.kafka_config or {}).items()}
    told: list[KafkaError] = []
    config = _DEFAULTS | {"bootstrap.servers": settings.kafka_bootstrap_servers} | given
    try:
        with AdminClient(config | {"error_cb": told.append}) as admin:
            try:
                found = _collect(admin, config, expected, lambda: max(1, min(_TIMEOUT, deadline - time.monotonic())))
            except KafkaException:
                admin.poll(0)  # brings what the connections failed of
                raise
    except KafkaException as error:
        why = max(
            told, key=lambda e: (e.code() in _ADVICE and e.code() not in _PASSING, len(e.str())), default=error.args[0]
        )
        advice = _ADVICE[why.code()] if why.code() in _ADVICE and why.code() not in _PASSING else _CHECK
        raise CollectorError(redact(f"{settings.kafka_bootstrap_servers}: {why.str()}: {advice}", secrets)) from None
    return Collected(found.rows, [redact(problem, secrets) for problem in found.problems])


def _collect(admin: AdminClient, config: dict[str, Any], expected: Rows, left: Callable[[], float]) -> Collected:
    partitions, problems = _partitions(admin, {row["topic"] for row in expected}, left)
    rows = [
        _row(row["consumer_group"], TopicPartition(row["topic"], partition))
        for row in expected
        if partitions.get(row["topic"]) == []
        for partition in range(int(row["partitions"] or 0))
    ]
    if rows and not any(partitions.values()) and not problems:
        problems = [NOTHING]
    wanted = {row["consumer_group"]: list[TopicPartition]() for row in expected}
    for row in expected:
        wanted[row["consumer_group"]] += partitions.get(row["topic"], [])
    wanted = {group: members for group, members in sorted(wanted.items()) if members}
    if not wanted:
        return Collected(rows, problems)
    with ThreadPoolExecutor(len(wanted)) as pool:
        committed = {g: pool.submit(_committed, config, g, members, left) for g, members in wanted.items()}
        offsets, failed = _log_offsets(admin, [p for members in partitions.values() for p in members], left)
    problems += _by_topic("", failed)
    offsets |= {at: (None, None) for at, error in failed.items() if error.code() in _NO_LEADER | _GONE}
    for group, members in wanted.items():
        commits, failed = committed[group].result()
        problems += _by_topic(f"group {group}: ", failed) if isinstance(failed, dict) else [f"group {group}: {failed}"]
        for at in members:
            if at in offsets:
                start, end = offsets[at]
                rows.append(_row(group, at, start, end, None if end is None else commits.get(at)))
    return Collected(rows, problems)


def _row(
    group: str, at: TopicPartition, start: int | None = None, end: int | None = None, committed: int | None = None
) -> dict[str, Any]:
    offsets = {"log_start_offset": start, "log_end_offset": end, "committed_offset": committed}
    return {"consumer_group": group, "topic": at.topic, "partition": at.partition} | offsets


def _partitions(
    admin: AdminClient, names: set[str], left: Callable[[], float]
) -> tuple[dict[str, list[TopicPartition]], list[str]]:
    """The partitions of each topic, none if the brokers lack it, and what they say of those that they do not tell."""
    found, problems = {}, []
    listed = admin.list_topics(timeout=left()).topics
    for name in sorted(names):
        # The list lacks what may not be described, too. Asked for by name, the brokers tell the two apart.
        topic = listed[name] if name in listed else admin.list_topics(name, timeout=left()).topics[name]
        if topic.error is None:
            found[name] = [TopicPartition(name, partition) for partition in sorted(topic.partitions)]
        elif topic.error.code() in _GONE:
            found[name] = []
        else:
            problems.append(f"topic {name}: {_why(topic.error)}")
    return found, problems


def _log_offsets(
    admin: AdminClient, partitions: list[TopicPartition], left: Callable[[], float], pauses: tuple[int, ...] = _PAUSES
) -> tuple[dict[TopicPartition, tuple[Any, Any]], dict[TopicPartition, KafkaError]]:
    """Start and end of each log, by one request a broker for each; those that failed for a moment are asked again."""
    timeout = left()
    asked = [
        admin.list_offsets(dict.fromkeys(partitions, spec), request_timeout=timeout)
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest())
    ]
    found, failed = {}, {}
    for at in partitions:
        try:
            start, end = (answers[at].result(timeout + 1).offset for answers in asked)
            found[at] = (start, end)
        except KafkaException as error:
            failed[at] = error.args[0]
        except FutureTimeout:
            failed[at] = KafkaError(KafkaError._TIMED_OUT)
    passing = [at for at, error in failed.items() if error.code() in _PASSING]
    if pauses and passing:
        time.sleep(pauses[0])
        with suppress(KafkaException):
            admin.list_topics(timeout=left())  # or it goes on by the leaders that it knows
        more, _ = _log_offsets(admin, passing, left, pauses[1:])
        found |= more
        failed = {at: error for at, error in failed.items() if at not in more}
    return found, failed


def _committed(
    config: dict[str, Any], group: str, partitions: list[TopicPartition], left: Callable[[], float], again: bool = True
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, KafkaError] | str]:
    """What the group has committed, and the partitions of which it was not told, or why nothing was.

    By a consumer that joins nothing: librdkafka's admin client crashes the process where a broker says that it is not
    the group's coordinator, as at the first commit on a cluster (confluentinc/librdkafka#5040).
    """
    consumer = Consumer(config | {"group.id": group, "enable.auto.commit": "false"})
    try:
        answer = consumer.committed(partitions, timeout=left())
    except KafkaException as error:
        refusal = consumer.poll(0)  # a coordinator that may not be asked for is a timeout to the other call
        why = refusal.error() if refusal is not None and refusal.error() else error.args[0]
        if not (again and why.code() in _PASSING):
            return {}, _why(why)
    else:
        # A negative offset means that the group never committed, which is not 0.
        return {p: p.offset for p in answer if not p.error and p.offset >= 0}, {p: p.error for p in answer if p.error}
    finally:
        consumer.close()
    time.sleep(1)
    return _committed(config, group, partitions, left, again=False)


def _by_topic(prefix: str, failed: dict[TopicPartition, KafkaError]) -> list[str]:
    """One problem for each topic and kind of error, with the partitions that have it."""
    alike = defaultdict(list)
    for at, error in failed.items():
        alike[at.topic, _why(error)].append(at.partition)
    return [f"{prefix}topic {topic} partition {_list(numbers)}: {why}" for (topic, why), numbers in alike.items()]


def _list(numbers: list[int], most: int = 10) -> str:
    more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return ", ".join(map(str, sorted(numbers)[:most])) + more


def _why(error: KafkaError) -> str:
    return f"{error.str()}: {_ADVICE.get(error.code(), _CHECK)}"
