"""The orders as an expert would have DuckDB, and nothing else, make them from STREAMING.ORDER_EVENTS in one go.

Neither statement knows of loads, late records or another run: it is what the project's convenience is measured against.
"""

import resource
import sys
import time
from pathlib import Path

import duckdb

PEAK_UNIT = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss, for MB
# Each field is taken out of the VARIANT once; an amount that is no number is one that was there and is none.
_VALID = """
    select * exclude (event_ts, has_amount), try_cast(event_ts as timestamptz) at time zone 'UTC' as event_at
    from (
        select
            record_metadata['topic']::varchar as topic,
            record_metadata['partition']::integer as partition,
            record_metadata['offset']::bigint as kafka_offset,
            record_metadata['CreateTime']::bigint as create_time_ms,
            record_metadata['SnowflakeConnectorPushTime']::bigint as push_time_ms,
            record_content['event_id']::varchar as event_id,
            record_content['event_type']::varchar as event_type,
            record_content['event_ts']::varchar as event_ts,
            record_content['order_id']::varchar as order_id,
            record_content['customer_id']::varchar as customer_id,
            record_content['amount'] is not null as has_amount,
            try_cast(record_content['amount'] as decimal(18, 2)) as amount,
            record_content['currency']::varchar as currency
        from streaming.order_events
    )
    where
        order_id is not null and event_type is not null and try_cast(event_ts as timestamptz) is not null
        and (amount is not null or not has_amount)
"""
# arg_max and min do not mind a second copy; a number is a faster key than a row of time and offset.
_ORDERS = """
    create table by_hand.fct_orders as
    with events as ({events}),
    keyed as (select *, (epoch_us(event_at)::hugeint << 64) + coalesce(kafka_offset, -1) as k from events),
    orders as (
        select
            order_id,
            arg_max(customer_id, k) as customer_id,
            arg_max(amount, k) as amount,
            arg_max_null(currency, k) filter (amount is not null) as currency,
            {count} as event_count,
            min(event_at) as first_event_at,
            max(event_at) as last_event_at,
            arg_max({{'type': event_type, 'topic': topic, 'partition': partition, 'at': kafka_offset}}, k) as latest
        from keyed
        group by order_id
    )
    select
        order_id, customer_id, latest.type as latest_event_type,
        case latest.type
            when 'order_created' then 'created' when 'order_paid' then 'paid' when 'order_shipped' then 'shipped'
            when 'order_delivered' then 'delivered' when 'order_cancelled' then 'cancelled' else 'unknown'
        end as order_status,
        amount, currency, event_count, first_event_at, last_event_at,
        latest.topic as topic, latest.partition as partition, latest.at as latest_offset
    from orders
"""
_EVENTS = f"""
    create table by_hand.fct_order_events as
    select
        * exclude (create_time_ms, push_time_ms),
        make_timestamp(create_time_ms * 1000) as created_at,
        make_timestamp(min(push_time_ms) * 1000) as pushed_at
    from ({_VALID})
    group by all
"""
STATEMENTS = {
    "orders by hand": [_ORDERS.format(events=_VALID, count="count(distinct row(topic, partition, kafka_offset))")],
    "orders and events by hand": [
        _EVENTS,
        _ORDERS.format(events="from by_hand.fct_order_events", count="count(*)"),
    ],
}
# What the project's tables have but for its bookkeeping.
_COLUMNS = {
    "fct_orders": """
        order_id, customer_id, latest_event_type, order_status, amount, currency, event_count, first_event_at,
        last_event_at, topic, partition, latest_offset
    """,
    "fct_order_events": """
        topic, partition, kafka_offset, event_id, event_type, event_at, order_id, customer_id, amount, currency,
        created_at, pushed_at
    """,
}


def make_by_hand(file: Path, name: str, settings: str) -> dict[str, float]:
    """Runs the statements of that name, opening and closing the file included. Raises if the project's rows differ."""
    started = time.perf_counter()
    with duckdb.connect(str(file)) as database:
        database.execute(f"{settings} drop schema if exists by_hand cascade; create schema by_hand")
        for statement in STATEMENTS[name]:
            database.execute(statement)
    figures = {"seconds": time.perf_counter() - started, "peak_mb": peak_mb()}
    with duckdb.connect(str(file)) as database:
        made = database.execute(f"{settings} from duckdb_tables() select table_name where schema_name = 'by_hand'")
        for (table,) in made.fetchall():
            digest = f"select count(*) as n, sum(hash({_COLUMNS[table]})) as sum_of_hashes from"
            rows = [database.execute(f"{digest} {schema}.{table}").fetchone() for schema in ("by_hand", "analytics")]
            if rows[0] != rows[1]:
                raise RuntimeError(f"{name}: {table} by hand is {rows[0]}, the project's is {rows[1]} (count, hash)")
    return figures


def peak_mb() -> float:
    """The most memory that this process has had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / PEAK_UNIT
