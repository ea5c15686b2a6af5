with

marks as (

    select * from {{ ref('evaluation_marks') }}

),

-- A tick that was repeated has left its samples twice.
reports as (

    select distinct * from {{ ref('stg_streaming__connector_status') }}

),

samples as (

    select
        marks.evaluated_at,
        reports.*,
        lag(reports.state) over (
            partition by marks.evaluated_at, reports.connector, reports.task_id order by reports.collected_at
        ) as previous_state,
        max(reports.collected_at) over (partition by marks.evaluated_at) as feed_collected_at,
        max(reports.collected_at) over (
            partition by marks.evaluated_at, reports.connector
        ) as connector_collected_at
    from marks
    inner join reports
        on
            marks.evaluated_at >= reports.collected_at
            and {{ dbt.dateadd('day', -1, 'marks.evaluated_at') }} < reports.collected_at

),

feeds as (

    select distinct
        evaluated_at,
        feed_collected_at
    from samples

),

-- A connector that the newest samples lack is gone, not unchanged.
newest_samples as (

    select *
    from samples
    where
        collected_at = connector_collected_at
        and collected_at
        >= {{ dbt.dateadd('minute', -var('sample_max_age_minutes'), 'feed_collected_at') }}

),

expected as (

    select
        marks.evaluated_at,
        connectors.connector,
        coalesce(connectors.tasks, newest_samples.tasks_max) as tasks
    from marks
    cross join {{ ref('expected_connectors') }} as connectors
    left join newest_samples
        on
            marks.evaluated_at = newest_samples.evaluated_at
            and connectors.connector = newest_samples.connector
            and newest_samples.task_id is null

),

-- What ought to be there is listed, so that a missing task is a row.
members as (

    select
        evaluated_at,
        connector,
        cast(null as integer) as task_id
    from expected
    union
    select
        expected.evaluated_at,
        expected.connector,
        cast(numbers.n as integer) as task_id
    from expected
    inner join {{ numbers(1000) }} as numbers on expected.tasks > numbers.n
    union
    select
        evaluated_at,
        connector,
        task_id
    from newest_samples

),

-- Records that wait while the position stands, whatever the connector says of itself.
flows as (

    select
        lags.evaluated_at,
        topics.connector,
        count(*) as partitions,
        count(case when lags.state in ('STALL', 'STOP') then 1 end) as standing_partitions
    from {{ ref('consumer_lag') }} as lags
    inner join {{ ref('expected_topics') }} as topics
        on lags.consumer_group = topics.consumer_group and lags.topic = topics.topic
    where lags.evaluated_at in (select marks.evaluated_at from marks)
    group by 1, 2

),

own_states as (

    select
        members.evaluated_at,
        members.connector,
        members.task_id,
        newest_samples.worker_id,
        newest_samples.trace,
        newest_samples.previous_state,
        {{ dbt.datediff('feeds.feed_collected_at', 'members.evaluated_at', 'second') }} as sample_age_seconds,
        case
            when
                coalesce(
                    feeds.feed_collected_at
                    < {{ dbt.dateadd('minute', -var('sample_max_age_minutes'), 'members.evaluated_at') }},
                    true
                )
                then 'STALE'
            when
                newest_samples.state = 'RUNNING'
                and count(members.task_id) over (partition by members.evaluated_at, members.connector) = 0
                then 'NO_TASKS'
            else coalesce(newest_samples.state, 'MISSING')
        end as own_state
    from members
    left join feeds on members.evaluated_at = feeds.evaluated_at
    left join newest_samples
        on
            members.evaluated_at = newest_samples.evaluated_at
            and members.connector = newest_samples.connector
            and coalesce(members.task_id, -1) = coalesce(newest_samples.task_id, -1)

),

-- A rebalance passes: what it does to a state counts from the second sample on.
passing as (

    select
        *,
        own_state in ('UNASSIGNED', 'RESTARTING', 'PROVISIONING')
        and coalesce(previous_state not in ('UNASSIGNED', 'RESTARTING', 'PROVISIONING'), true) as is_passing
    from own_states

),

ranks as (

    select
        *,
        case when is_passing then 0 else {{ connector_state_rank('own_state') }} end as state_rank
    from passing

),

worst as (

    select
        *,
        first_value(case when is_passing then 'RUNNING' else own_state end) over (
            partition by evaluated_at, connector order by state_rank desc, coalesce(task_id, -1)
        ) as worst_state,
        max(state_rank) over (partition by evaluated_at, connector) as worst_rank,
        count(task_id) over (partition by evaluated_at, connector) as tasks,
        count(case when state_rank = 2 then task_id end) over (partition by evaluated_at, connector) as failed_tasks
    from ranks

),

connector_health as (

    select
        worst.evaluated_at,
        worst.connector,
        worst.task_id,
        worst.own_state,
        case
            when worst.task_id is not null then worst.own_state
            when worst.worst_state = 'RUNNING' and flows.standing_partitions > 0 then 'FROZEN'
            else worst.worst_state
        end as state,
        cast(worst.sample_age_seconds as bigint) as sample_age_seconds,
        worst.worker_id,
        worst.trace,
        worst.is_passing,
        -- As Redpanda draws the line: a connector is degraded while some of it works.
        case
            when worst.own_state = 'STALE' then 'UNKNOWN'
            when worst.state_rank = 2 then 'UNHEALTHY'
            when worst.task_id is not null and worst.state_rank = 1 then 'DEGRADED'
            when worst.task_id is not null then 'HEALTHY'
            when worst.tasks > 0 and worst.failed_tasks = worst.tasks then 'UNHEALTHY'
            when flows.standing_partitions = flows.partitions then 'UNHEALTHY'
            when worst.worst_rank > 0 or flows.standing_partitions > 0 then 'DEGRADED'
            else 'HEALTHY'
        end as health
    from worst
    left join flows on worst.evaluated_at = flows.evaluated_at and worst.connector = flows.connector

)

select * from connector_health
