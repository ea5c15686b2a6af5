{{ config(unique_key=['bucket_start', 'topic', 'partition']) }}

{%- set from_at = bucket_window(this if is_incremental() else none) -%}

with

landed as (

    {{ landed_since(epoch_ms(from_at)) }}

),

order_event_buckets as (

    select
        date_trunc('minute', landed_at) as bucket_start,
        coalesce(topic, '(none)') as topic,
        coalesce(partition, -1) as partition,
        count(*) as record_count,
        max(kafka_offset) as max_offset,
        max(landed_at) as last_landed_at
    from landed
    group by 1, 2, 3
    -- Not as a WHERE: see landed_since. Before the window only the records without
    -- the time key were read: those minutes stay as they are.
    having min(landed_at) >= {{ timestamp_literal(from_at) }}

)

select
    bucket_start,
    topic,
    cast(partition as integer) as partition,
    cast(record_count as bigint) as record_count,
    max_offset,
    last_landed_at
from order_event_buckets
