with

collector_health as (

    select * from {{ ref('collector_health') }}

),

watch_collectors as (

    select
        evaluated_at,
        collector as entity,
        failed_runs,
        case
            when last_run_at is null then 'has not run here'
            else coalesce(left(error, 500), 'brought everything') || '; last complete run: '
            || coalesce(last_success_at || ' UTC', 'none in a day')
        end as detail
    from collector_health

)

select * from watch_collectors
