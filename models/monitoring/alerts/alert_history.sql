with

alerts as (

    select * from {{ ref('alerts') }}

),

alert_history as (

    select
        alert,
        opened_at,
        opened_at as happened_at,
        'pending' as event,
        cast(null as varchar) as receiver,
        cast(null as varchar) as detail
    from alerts
    where fired_at is null or fired_at > opened_at
    union all
    select
        alert,
        opened_at,
        fired_at as happened_at,
        'firing' as event,
        cast(null as varchar) as receiver,
        cast(null as varchar) as detail
    from alerts
    where fired_at is not null
    union all
    select
        alert,
        opened_at,
        resolved_at as happened_at,
        'resolved' as event,
        cast(null as varchar) as receiver,
        bad_runs || ' bad runs' as detail
    from alerts
    where resolved_at is not null
    union all
    select
        alert,
        opened_at,
        notified_at as happened_at,
        outcome as event,
        receiver,
        kind || coalesce(': ' || problem, '') as detail
    from {{ source('monitoring', 'notifications') }}

)

select * from alert_history
