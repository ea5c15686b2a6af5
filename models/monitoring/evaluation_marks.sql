{{ config(materialized='table') }}

{%- set interval = var('evaluation_interval_minutes') -%}
{%- set history = evaluation_history(this) -%}
{%- set midnight = as_of_instant().replace(hour=0, minute=0, second=0, microsecond=0) -%}
{%- set steps = (as_of_instant() - midnight).total_seconds() // (interval * 60) -%}
{%- set last_mark = midnight + modules.datetime.timedelta(minutes=steps * interval) -%}

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
    where timestamp >= {{ dbt.dateadd('hour', -var('catch_up_hours') - 1, as_of()) }}

),

recent_marks as (

    select
        evaluated_at,
        {{ dbt.dateadd('second', -interval * 30, 'evaluated_at') }} as from_at,
        {{ dbt.dateadd('second', interval * 30, 'evaluated_at') }} as until_at
    from (
        select {{ dbt.dateadd('minute', '-n * ' ~ interval, timestamp_literal(last_mark)) }} as evaluated_at
        from {{ numbers((var('catch_up_hours') * 60 / interval) | int) }} as steps
    ) as marks

),

missed_marks as (

    select recent_marks.evaluated_at
    from recent_marks
    left join history
        on recent_marks.from_at <= history.evaluated_at and recent_marks.until_at > history.evaluated_at
    where
        history.evaluated_at is null
        and recent_marks.evaluated_at <= {{ dbt.dateadd('minute', -interval, as_of()) }}
        and recent_marks.evaluated_at > (select min(evaluated.timestamp) from {{ history }} as evaluated)

),
{%- else -%}
-- Nothing was missed before the first tick.
missed_marks as (

    select evaluated_at from this_tick where 1 = 0

),
{%- endif %}

evaluation_marks as (

    select evaluated_at from this_tick
    union all
    select evaluated_at from missed_marks

)

select * from evaluation_marks
