with

source as (

    select * from {{ source('streaming', 'collector_runs') }}

),

collector_runs as (

    select
        cast(collected_at as datetime) as collected_at,
        collector,
        row_count,
        error
    from source

)

select * from collector_runs
