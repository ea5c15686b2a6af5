with

transform_backlog as (

    select * from {{ ref('transform_backlog') }}

),

watch_transform as (

    select
        evaluated_at,
        'ANALYTICS.FCT_ORDERS' as entity,
        oldest_pending_seconds,
        {{ with_unit('pending_records', 'records') }} || ' pending, the oldest landed at '
        || coalesce(cast(oldest_pending_at as varchar), '-') as detail
    from transform_backlog

)

select * from watch_transform
