with

marks as (

    select * from {{ ref('evaluation_marks') }}

),

topics as (

    select distinct topic from {{ ref('expected_topics') }}

),

baselines as (

    select * from {{ ref('throughput_baselines') }}

),

-- Whole minutes: a tick seldom starts on one, and half a bucket is no drop.
windows as (

    select
        marks.evaluated_at,
        topics.topic,
        cast(coalesce(sum(buckets.record_count), 0) as bigint) as event_count
    from marks
    cross join topics
    left join {{ ref('order_event_buckets') }} as buckets
        on
            topics.topic = buckets.topic
            and {{ dbt.date_trunc('minute', 'marks.evaluated_at') }} > buckets.bucket_start
            and {{ dbt.dateadd('minute', -5, dbt.date_trunc('minute', 'marks.evaluated_at')) }} <= buckets.bucket_start
    group by 1, 2

),

throughput as (

    select
        windows.evaluated_at,
        windows.topic,
        windows.event_count,
        windows.event_count / cast(5 as double) as events_per_minute,
        baselines.baseline_events_per_minute,
        100 * (1 - windows.event_count / (cast(5 as double) * nullif(baselines.baseline_events_per_minute, 0))) as drop_pct,
        coalesce(baselines.is_quiet_hour, false) as is_quiet_hour
    from windows
    left join baselines
        on
            windows.evaluated_at = baselines.evaluated_at
            and windows.topic = baselines.topic

)

select * from throughput
