{{ config(materialized='view') }}

with

marks as (

    select * from {{ ref('evaluation_marks') }}

),

-- Minutes without a record have no bucket, so a dead stream cannot lower its
-- own baseline.
minutes as (

    select
        marks.evaluated_at,
        buckets.topic,
        buckets.bucket_start,
        sum(buckets.record_count) as record_count,
        max({{ dbt.datediff('buckets.bucket_start', 'marks.evaluated_at', 'minute') }}) as age_minutes
    from marks
    inner join {{ ref('order_event_buckets') }} as buckets
        on
            {{ dbt.dateadd('minute', -5, 'marks.evaluated_at') }} > buckets.bucket_start
            and {{ dbt.dateadd('day', -29, 'marks.evaluated_at') }} <= buckets.bucket_start
    group by 1, 2, 3

),

-- How far a minute's age is from a whole number of days, in minutes.
aligned_minutes as (

    select
        *,
        abs(age_minutes - round(age_minutes / cast(1440 as double)) * 1440) as off_day_minutes
    from minutes

),

-- The same half hour on each of the last seven days; the last three hours while
-- there is no such history. A median: a new level must last for days to move it.
baselines as (

    select
        evaluated_at,
        topic,
        median(case when age_minutes between 1425 and 10095 and off_day_minutes <= 15 then record_count end)
            as same_time_of_day,
        median(case when age_minutes <= 185 then record_count end) as last_three_hours
    from aligned_minutes
    group by 1, 2

),

-- This hour of the week, in each of the last four weeks.
hours_of_week as (

    select
        evaluated_at,
        topic,
        {{ dbt.date_trunc('hour', 'bucket_start') }} as hour_start,
        sum(record_count) / cast(60 as double) as events_per_minute
    from aligned_minutes
    where mod({{ dbt.datediff(dbt.date_trunc('hour', 'bucket_start'), 'evaluated_at', 'hour') }}, 168) = 0
    group by 1, 2, 3

),

-- Quiet needs proof: two whole weeks of history, and no week in which this hour
-- was busy.
quiet_hours as (

    select
        histories.evaluated_at,
        histories.topic,
        histories.age_minutes >= 14 * 1440
        and coalesce(max(hours_of_week.events_per_minute), 0) < {{ var('throughput_warn_events_per_minute') }}
            as is_quiet_hour
    from (
        select
            evaluated_at,
            topic,
            max(age_minutes) as age_minutes
        from minutes
        group by 1, 2
    ) as histories
    left join hours_of_week
        on
            histories.evaluated_at = hours_of_week.evaluated_at
            and histories.topic = hours_of_week.topic
            and histories.evaluated_at > {{ dbt.dateadd('day', 6, 'hours_of_week.hour_start') }}
    group by histories.evaluated_at, histories.topic, histories.age_minutes

),

throughput_baselines as (

    select
        baselines.evaluated_at,
        baselines.topic,
        cast(coalesce(baselines.same_time_of_day, baselines.last_three_hours) as double)
            as baseline_events_per_minute,
        quiet_hours.is_quiet_hour
    from baselines
    inner join quiet_hours
        on
            baselines.evaluated_at = quiet_hours.evaluated_at
            and baselines.topic = quiet_hours.topic

)

select * from throughput_baselines
