{%- set span = evaluation_span(ref('evaluation_marks')) -%}
{%- set window = modules.datetime.timedelta(minutes=5) -%}
{#- Found by another key than their push time, slow records lie further back. -#}
{%- set late = modules.datetime.timedelta(
    minutes=0 if record_time_column() == 'push_time_ms' else var('late_arrival_minutes')
) -%}

with

marks as (

    select * from {{ ref('evaluation_marks') }}

),

topics as (

    select distinct topic from {{ ref('expected_topics') }}

),

landed as (

    {{ landed_since(epoch_ms(span.first - window - late), epoch_ms(span.last + window), undated=record_time_column() != 'push_time_ms') }}

),

-- Only what the connector dated on arrival tells how long a record took.
latencies as (

    select
        topic,
        pushed_at,
        case
            when
                push_time_ms between 0 and {{ last_epoch_ms() }}
                and coalesce(create_time_ms, append_time_ms) between 0 and {{ last_epoch_ms() }}
                then (push_time_ms - coalesce(create_time_ms, append_time_ms)) / cast(1000 as double)
        end as latency_seconds
    from landed

),

end_to_end_latency as (

    select
        marks.evaluated_at,
        topics.topic,
        count(latencies.latency_seconds) as event_count,
        percentile_cont(0.5) within group (order by latencies.latency_seconds) as p50_seconds,
        percentile_cont(0.95) within group (order by latencies.latency_seconds) as p95_seconds,
        percentile_cont(0.99) within group (order by latencies.latency_seconds) as p99_seconds,
        max(latencies.latency_seconds) as max_seconds,
        min(latencies.latency_seconds) as min_seconds,
        100 * avg(case
            when latencies.latency_seconds < -{{ var('clock_skew_tolerance_seconds') }} then cast(1 as double)
            when latencies.latency_seconds is not null then 0
        end) as skewed_pct
    from marks
    cross join topics
    left join latencies
        on
            topics.topic = latencies.topic
            and marks.evaluated_at >= latencies.pushed_at
            and {{ dbt.dateadd('minute', -5, 'marks.evaluated_at') }} < latencies.pushed_at
    group by 1, 2

)

select
    evaluated_at,
    topic,
    cast(event_count as bigint) as event_count,
    cast(p50_seconds as double) as p50_seconds,
    cast(p95_seconds as double) as p95_seconds,
    cast(p99_seconds as double) as p99_seconds,
    max_seconds,
    min_seconds,
    skewed_pct
from end_to_end_latency
