with

throughput as (

    select * from {{ ref('throughput') }}

),

watch_throughput as (

    select
        evaluated_at,
        topic as entity,
        topic,
        events_per_minute,
        drop_pct,
        is_quiet_hour,
        coalesce(
            events_per_minute >= {{ var('throughput_warn_events_per_minute') }}
            and baseline_events_per_minute * 5 >= {{ var('throughput_drop_min_baseline_events') }},
            false
        ) as is_drop_judged,
        {{ with_unit('event_count', 'events') }} || ' in five minutes; baseline '
        || coalesce(cast(round(baseline_events_per_minute, 1) as varchar), 'unknown') || ' a minute' as detail
    from throughput

)

select * from watch_throughput
