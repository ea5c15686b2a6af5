{#- Judged is what the next load will not look at any more: what is missing there
    stays missing until a backfill. -#}
{%- set records = load_relation(ref('order_event_records')) -%}
{%- set to_ms = load_window(records, with_step=false).from_ms -%}
{%- set from_ms = [to_ms - var('nightly_completeness_hours' if var('nightly') else 'completeness_hours') * 3600000, 0] | max -%}

with

landed as (

    {{ landed_since(from_ms, to_ms, undated=false) }}

),

-- Copies count once.
landed_records as (

    select
        record_id,
        max(created_at) as created_at,
        coalesce(max(topic), '(none)') as topic,
        coalesce(max(partition), -1) as partition,
        max(kafka_offset) as kafka_offset
    from landed
    group by record_id

),

loaded as (

    {{ loaded_records(records, 'landed_records') }}

),

partitions as (

    select
        topics.topic,
        cast(numbers.n as integer) as partition
    from {{ ref('expected_topics') }} as topics
    inner join {{ numbers(10000) }} as numbers on topics.partitions > numbers.n
    union
    select
        topic,
        partition
    from landed_records

),

record_completeness as (

    select
        partitions.topic,
        partitions.partition,
        count(landed_records.record_id) as landed_records,
        count(case when loaded.record_id is not null and loaded.rejected_reason is null then 1 end) as loaded_records,
        count(loaded.rejected_reason) as rejected_records,
        count(landed_records.record_id) - count(loaded.record_id) as missing_records,
        min(landed_records.kafka_offset) as first_offset,
        max(landed_records.kafka_offset) as last_offset,
        -- An offset seen twice is a re-created topic's: then gaps mean nothing.
        case
            when count(landed_records.kafka_offset) = count(distinct landed_records.kafka_offset)
                then max(landed_records.kafka_offset) - min(landed_records.kafka_offset) + 1
                    - count(landed_records.kafka_offset)
        end as offset_gaps
    from partitions
    left join landed_records
        on partitions.topic = landed_records.topic and partitions.partition = landed_records.partition
    left join loaded on landed_records.record_id = loaded.record_id
    group by 1, 2

)

select
    {{ as_of() }} as evaluated_at,
    topic,
    partition,
    {{ timestamp_literal(from_epoch_ms(from_ms)) }} as window_start,
    {{ timestamp_literal(from_epoch_ms(to_ms)) }} as window_end,
    cast(landed_records as bigint) as landed_records,
    cast(loaded_records as bigint) as loaded_records,
    cast(rejected_records as bigint) as rejected_records,
    cast(missing_records as bigint) as missing_records,
    first_offset,
    last_offset,
    cast(offset_gaps as bigint) as offset_gaps
from record_completeness
