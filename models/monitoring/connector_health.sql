with

marks as (

    select * from {{ ref('evaluation_marks') }}

),

samples as (

    select
        marks.evaluated_at,
        status.*,
        max(status.collected_at) over (partition by marks.evaluated_at) as feed_collected_at,
        max(status.collected_at) over (
            partition by marks.evaluated_at, status.connector
        ) as connector_collected_at
    from marks
    inner join {{ ref('stg_streaming__connector_status') }} as status
        on
            marks.evaluated_at >= status.collected_at
            and {{ dbt.dateadd('day', -1, 'marks.evaluated_at') }} < status.collected_at

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

-- What ought to be there is listed, so that a missing task is a row.
members as (

    select
        marks.evaluated_at,
        connectors.connector,
        cast(null as integer) as task_id
    from marks
    cross join {{ ref('expected_connectors') }} as connectors
    union
    select
        marks.evaluated_at,
        connectors.connector,
        cast(numbers.n as integer) as task_id
    from marks
    cross join {{ ref('expected_connectors') }} as connectors
    inner join {{ numbers(1000) }} as numbers on connectors.tasks > numbers.n
    union
    select
        evaluated_at,
        connector,
        task_id
    from newest_samples

),

own_states as (

    select
        members.evaluated_at,
        members.connector,
        members.task_id,
        newest_samples.worker_id,
        newest_samples.trace,
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

connector_health as (

    select
        evaluated_at,
        connector,
        task_id,
        own_state,
        case
            when task_id is not null then own_state
            else first_value(own_state) over (
                partition by evaluated_at, connector
                order by {{ connector_state_rank('own_state') }} desc, coalesce(task_id, -1)
            )
        end as state,
        cast(sample_age_seconds as bigint) as sample_age_seconds,
        worker_id,
        trace
    from own_states

)

select * from connector_health
