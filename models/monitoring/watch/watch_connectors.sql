with

connector_health as (

    select * from {{ ref('connector_health') }}

),

watch_connectors as (

    select
        evaluated_at,
        connector || coalesce(' task ' || task_id, '') as entity,
        case when is_passing then 'PASSING' else own_state end as state,
        coalesce('on ' || worker_id, 'on no worker')
        || coalesce(': ' || left(split_part(trace, '
', 1), 200), '') as detail
    from connector_health

)

select * from watch_connectors
