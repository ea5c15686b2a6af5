with

end_to_end_latency as (

    select * from {{ ref('end_to_end_latency') }}

),

watch_latency as (

    select
        evaluated_at,
        topic as entity,
        topic,
        event_count,
        p95_seconds,
        skewed_pct,
        coalesce('p50 ' || round(p50_seconds, 1) || ' s, p99 ' || round(p99_seconds, 1) || ' s, from '
        || round(min_seconds, 1) || ' to ' || round(max_seconds, 1) || ' s over ' || {{ with_unit('event_count', 'events') }},
        'nothing measurable landed') as detail
    from end_to_end_latency

)

select * from watch_latency
