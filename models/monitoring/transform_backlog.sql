{#- On the very first tick the transform has not run yet: all is pending. -#}
{%- set records = load_relation(ref('order_event_records')) -%}
{%- set window = load_window(records, with_step=false) -%}

with

marks as (

    select * from {{ ref('evaluation_marks') }}

),

landed as (

    {{ landed_since(window.from_ms, window.to_ms) }}

),

loaded as (

    {{ loaded_records(records, 'landed') }}

),

unfolded as (

    {{ unfolded_records(records) }}

),

seen as (

    select
        record_id,
        landed_at
    from landed
    union all
    select
        record_id,
        landed_at
    from unfolded

),

records as (

    select
        seen.record_id,
        min(seen.landed_at) as landed_at,
        min(case when unfolded.record_id is null then loaded.loaded_at end) as loaded_at
    from seen
    left join loaded on seen.record_id = loaded.record_id
    left join unfolded on seen.record_id = unfolded.record_id
    group by 1

),

-- By the second: a backlog of millions is not joined with every mark of an outage.
-- A record that does not say when it landed came after the last load.
arrivals as (

    select
        {{ dbt.date_trunc('second', dbt.dateadd('millisecond', 999, 'landed_at')) }} as landed_by,
        loaded_at,
        count(*) as records,
        min(coalesce(landed_at, (select max(loaded.loaded_at) from loaded))) as oldest_landed_at
    from records
    group by 1, 2

),

transform_backlog as (

    select
        marks.evaluated_at,
        cast(coalesce(sum(arrivals.records), 0) as bigint) as pending_records,
        min(arrivals.oldest_landed_at) as oldest_pending_at,
        cast(case
            when count(arrivals.records) = 0 then 0
            else {{ dbt.datediff('min(arrivals.oldest_landed_at)', 'marks.evaluated_at', 'second') }}
        end as bigint) as oldest_pending_seconds
    from marks
    left join arrivals
        on
            coalesce(arrivals.landed_by <= marks.evaluated_at, true)
            and coalesce(arrivals.loaded_at > marks.evaluated_at, true)
    group by marks.evaluated_at

)

select * from transform_backlog
