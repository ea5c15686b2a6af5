with

marks as (

    select * from {{ ref('evaluation_marks') }}

),

collectors as (

    select 'kafka_offsets' as collector
    union all
    select 'connector_status' as collector

),

runs as (

    select
        marks.evaluated_at,
        runs.collector,
        runs.collected_at,
        runs.error,
        max(case when runs.error is null then runs.collected_at end) over (
            partition by marks.evaluated_at, runs.collector
        ) as last_success_at,
        max(runs.collected_at) over (partition by marks.evaluated_at, runs.collector) as last_run_at
    from marks
    inner join {{ ref('stg_streaming__collector_runs') }} as runs
        on
            marks.evaluated_at >= runs.collected_at
            and {{ dbt.dateadd('day', -1, 'marks.evaluated_at') }} < runs.collected_at

),

-- Where somebody else lands the snapshots, no run has failed; and a collector that
-- no longer runs makes its feed stale.
collector_health as (

    select
        marks.evaluated_at,
        collectors.collector,
        max(runs.last_run_at) as last_run_at,
        max(runs.last_success_at) as last_success_at,
        count(distinct case
            when runs.last_success_at is null or runs.collected_at > runs.last_success_at then runs.collected_at
        end) as failed_runs,
        max(case when runs.collected_at = runs.last_run_at then runs.error end) as error
    from marks
    cross join collectors
    left join runs
        on
            marks.evaluated_at = runs.evaluated_at
            and collectors.collector = runs.collector
            and runs.last_run_at >= {{ dbt.dateadd('minute', -var('sample_max_age_minutes'), 'runs.evaluated_at') }}
    group by 1, 2

)

select * from collector_health
