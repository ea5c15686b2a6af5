{{ config(materialized='view') }}

with

marks as (

    select * from {{ ref('evaluation_marks') }}

),

buckets as (

    select * from {{ ref('order_event_buckets') }}

),

last_landings as (

    select
        marks.evaluated_at,
        buckets.topic,
        buckets.partition,
        max(buckets.last_landed_at) as last_landed_at
    from marks
    inner join buckets on marks.evaluated_at > buckets.bucket_start
    group by 1, 2, 3

),

-- The hour up to the partition's last record, however long ago that was: what it
-- did when it last worked. Offsets from before are not looked at, so that a
-- re-created topic, whose offsets begin again, is not measured by its old ones.
landed_offsets as (

    select
        last_landings.evaluated_at,
        last_landings.topic,
        last_landings.partition,
        max(buckets.max_offset) as landed_offset,
        {{ value_at_max('buckets.max_offset', 'buckets.last_landed_at') }} as last_landed_offset,
        last_landings.last_landed_at,
        sum(buckets.record_count) / cast(3600 as double) as records_per_second
    from last_landings
    inner join buckets
        on
            last_landings.topic = buckets.topic
            and last_landings.partition = buckets.partition
            and last_landings.evaluated_at > buckets.bucket_start
            and last_landings.last_landed_at >= buckets.bucket_start
            and {{ dbt.dateadd('minute', -60, 'last_landings.last_landed_at') }} < buckets.bucket_start
    group by last_landings.evaluated_at, last_landings.topic, last_landings.partition, last_landings.last_landed_at

)

select * from landed_offsets
