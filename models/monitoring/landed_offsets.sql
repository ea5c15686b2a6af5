{{ config(materialized='view') }}

with

marks as (

    select * from {{ ref('evaluation_marks') }}

),

buckets as (

    select * from {{ ref('order_event_buckets') }}

),

landed as (

    select
        marks.evaluated_at,
        buckets.topic,
        buckets.partition,
        max(buckets.max_offset) as landed_offset,
        max(case
            when buckets.bucket_start
                < {{ dbt.dateadd('minute', -var('stalled_after_minutes'), 'marks.evaluated_at') }}
                then buckets.max_offset
        end) as earlier_landed_offset,
        max(buckets.last_landed_at) as last_landed_at
    from marks
    inner join buckets on marks.evaluated_at > buckets.bucket_start
    group by 1, 2, 3

),

-- The hour up to the partition's last record: what it did when it last worked,
-- however long ago that was.
landed_offsets as (

    select
        landed.evaluated_at,
        landed.topic,
        landed.partition,
        landed.landed_offset,
        landed.earlier_landed_offset,
        landed.last_landed_at,
        sum(buckets.record_count) / cast(3600 as double) as records_per_second
    from landed
    inner join buckets
        on
            landed.topic = buckets.topic
            and landed.partition = buckets.partition
            and landed.last_landed_at >= buckets.bucket_start
            and {{ dbt.dateadd('minute', -60, 'landed.last_landed_at') }} < buckets.bucket_start
    group by 1, 2, 3, 4, 5, 6

)

select * from landed_offsets
