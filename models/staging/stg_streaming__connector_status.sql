with

source as (

    select * from {{ source('streaming', 'connector_status') }}

),

connector_status as (

    select
        cast(collected_at as datetime) as collected_at,
        connector,
        task_id,
        upper(state) as state,
        worker_id,
        trace,
        tasks_max
    from source

)

select * from connector_status
