{{ config(materialized='table', transient=true) }}

with

marks as (

    select * from {{ ref('evaluation_marks') }}

),

first_mark as (

    select min(evaluated_at) as first_evaluated_at from marks

),

buckets as (

    select * from {{ ref('order_event_buckets') }}

),

-- What is older than every mark is one row for each partition: weeks of it would meet
-- each mark otherwise.
landings as (

    select
        buckets.topic,
        buckets.partition,
        case
            when buckets.bucket_start < first_mark.first_evaluated_at
                then {{ dbt.dateadd('minute', -1, 'first_mark.first_evaluated_at') }}
            else buckets.bucket_start
        end as bucket_start,
        max(buckets.last_landed_at) as last_landed_at
    from buckets
    cross join first_mark
    group by 1, 2, 3

),

last_landings as (

    select
        marks.evaluated_at,
        landings.topic,
        landings.partition,
        max(landings.last_landed_at) as last_landed_at
    from marks
    inner join landings on marks.evaluated_at > landings.bucket_start
    group by 1, 2, 3

),

earliest_landings as (

    select
        topic,
        partition,
        {{ dbt.dateadd('minute', -60, 'min(last_landed_at)') }} as from_at
    from last_landings
    group by 1, 2

),

recent_buckets as (

    select buckets.*
    from buckets
    inner join earliest_landings
        on
            buckets.topic = earliest_landings.topic
            and buckets.partition = earliest_landings.partition
            and buckets.bucket_start > earliest_landings.from_at

),

-- The hour up to the partition's last record, however long ago that was: what it
-- did when it last worked. Offsets from before are not looked at, so that a
-- re-created topic, whose offsets begin again, is not measured by its old ones.
landed_offsets as (

    select
        last_landings.evaluated_at,
        last_landings.topic,
        last_landings.partition,
        max(recent_buckets.max_offset) as landed_offset,
        {{ value_at_max('recent_buckets.max_offset', 'recent_buckets.last_landed_at') }} as last_landed_offset,
        last_landings.last_landed_at,
        sum(recent_buckets.record_count) / cast(3600 as double) as records_per_second
    from last_landings
    inner join recent_buckets
        on
            last_landings.topic = recent_buckets.topic
            and last_landings.partition = recent_buckets.partition
            and last_landings.evaluated_at > recent_buckets.bucket_start
            and last_landings.last_landed_at >= recent_buckets.bucket_start
            and {{ dbt.dateadd('minute', -60, 'last_landings.last_landed_at') }} < recent_buckets.bucket_start
    group by last_landings.evaluated_at, last_landings.topic, last_landings.partition, last_landings.last_landed_at

)

select * from landed_offsets
