with

consumer_lag as (

    select
        *,
        max(lag_events) over (partition by evaluated_at, consumer_group, topic) as most_events
    from {{ ref('consumer_lag') }}

),

watch_consumer_lag as (

    select
        evaluated_at,
        consumer_group || ' on ' || topic as entity,
        topic,
        cast(sum(lag_events) as bigint) as lag_events,
        max(lag_seconds) as lag_seconds,
        coalesce('partition ' || min(case when lag_events = most_events then partition end) || ' is furthest behind, by '
        || {{ with_unit('max(lag_events)', 'events') }} || '; the oldest waits for ' || max(lag_seconds) || ' s ('
        || max(lag_method) || ')', 'the lag of no partition is known') as detail
    from consumer_lag
    group by evaluated_at, consumer_group, topic

)

select * from watch_consumer_lag
