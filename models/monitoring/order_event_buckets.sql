{{ config(unique_key=['bucket_start', 'topic', 'partition', 'is_dated']) }}

{%- set window = bucket_window(this if is_incremental() else none) -%}

with

landed as (

    {{ landed_since(window.from_ms, window.to_ms, undated=window.to_ms is none) }}

),

order_event_buckets as (

    select
        date_trunc('minute', landed_at) as bucket_start,
        coalesce(topic, '(none)') as topic,
        coalesce(partition, -1) as partition,
        coalesce({{ record_time_column() }} between 0 and {{ last_epoch_ms() }}, false) as is_dated,
        count(*) as record_count,
        max(kafka_offset) as max_offset,
        max(landed_at) as last_landed_at
    from landed
    group by 1, 2, 3, 4
    -- Not as a WHERE: see landed_since.
    having min(landed_at) is not null

)

select
    bucket_start,
    topic,
    cast(partition as integer) as partition,
    is_dated,
    cast(record_count as bigint) as record_count,
    max_offset,
    last_landed_at,
    {{ as_of() }} as counted_at
from order_event_buckets
