{{ config(materialized='table', transient=true) }}

{%- set interval = (var('evaluation_interval_minutes') * 60) | int -%}
{#- What earlier ticks evaluated. A mark is done when its metrics, the last model of a tick, are there. -#}
{%- set history = downstream('streaming_metrics') -%}
{%- set throughput = downstream('throughput') -%}
{%- set buckets = ref('order_event_buckets') -%}
{%- set restated = restated_window() -%}
{%- set midnight = as_of_instant().replace(hour=0, minute=0, second=0, microsecond=0) -%}
{%- set steps = (as_of_instant() - midnight).total_seconds() // interval -%}
{%- set look_back = modules.datetime.timedelta(hours=var('catch_up_hours') + 1) -%}
{%- set last_mark = midnight + modules.datetime.timedelta(seconds=steps * interval) -%}

with

this_tick as (

    select {{ as_of() }} as evaluated_at

),

-- A mark counts as evaluated if an evaluation lies within half an interval of
-- it: ticks seldom start on the second.
{% if history is not none -%}
history as (

    select distinct timestamp as evaluated_at
    from {{ history }}
    where timestamp >= {{ timestamp_literal(as_of_instant() - look_back) }}

),

-- One is enough to know that there was a monitor before.
older_history as (

    select timestamp as evaluated_at
    from {{ history }}
    where timestamp < {{ timestamp_literal(as_of_instant() - look_back) }}
    limit 1  -- noqa: AM09

),

recent_marks as (

    select
        evaluated_at,
        {{ dbt.dateadd('second', -(interval // 2), 'evaluated_at') }} as from_at,
        {{ dbt.dateadd('second', interval // 2, 'evaluated_at') }} as until_at
    from (
        select {{ dbt.dateadd('second', '-n * ' ~ interval, timestamp_literal(last_mark)) }} as evaluated_at
        from {{ numbers((var('catch_up_hours') * 3600 / interval) | int) }} as steps
    ) as steps_back

),

missed_marks as (

    select recent_marks.evaluated_at
    from recent_marks
    left join history
        on recent_marks.from_at <= history.evaluated_at and recent_marks.until_at > history.evaluated_at
    where
        history.evaluated_at is null
        and recent_marks.evaluated_at <= {{ dbt.dateadd('second', -interval, as_of()) }}
        and (
            recent_marks.evaluated_at > (select min(first_history.evaluated_at) from history as first_history)
            or exists (select 1 from older_history)
        )

),
{%- else -%}
-- Nothing was missed before the first tick.
missed_marks as (

    select evaluated_at from this_tick where 1 = 0

),
{%- endif %}

-- Marks whose five minutes count differently now: late records say what they would
-- have said then.
{% if throughput is not none -%}
restated_marks as (

    select throughput.evaluated_at
    from {{ throughput }} as throughput
    left join {{ buckets }} as buckets
        on
            throughput.topic = buckets.topic
            and {{ dbt.date_trunc('minute', 'throughput.evaluated_at') }} > buckets.bucket_start
            and {{ dbt.dateadd('minute', -5, dbt.date_trunc('minute', 'throughput.evaluated_at')) }} <= buckets.bucket_start
            and buckets.bucket_start >= {{ timestamp_literal(restated.from_at - modules.datetime.timedelta(minutes=6)) }}
    where
        throughput.evaluated_at >= {{ timestamp_literal(restated.from_at) }}
        and throughput.evaluated_at <= {{ timestamp_literal(restated.to_at) }}
    group by throughput.evaluated_at, throughput.topic, throughput.event_count
    having throughput.event_count <> coalesce(sum(buckets.record_count), 0)

),
{%- else -%}
restated_marks as (

    select evaluated_at from this_tick where 1 = 0

),
{%- endif %}

marks as (

    {% if not var('backfill_from') -%}
    select evaluated_at from this_tick
    union
    select evaluated_at from missed_marks
    union
    {%- endif %}
    select evaluated_at from restated_marks

),

evaluation_marks as (

    select
        evaluated_at,
        {{ as_of() }} as as_of
    from marks

)

select * from evaluation_marks
