{{ config(materialized='view') }}

with

-- A pause is meant, and a rebalance passes: neither mutes an error.
connectors as (

    select
        evaluated_at,
        connector,
        max(case
            when
                not is_passing
                and own_state not in ('RUNNING', 'STALE', 'PAUSED', 'UNASSIGNED', 'RESTARTING', 'PROVISIONING')
                then 1
            else 0
        end) = 1 as is_down
    from {{ ref('connector_health') }}
    group by evaluated_at, connector

),

followed as (

    select
        *,
        lead(evaluated_at) over (partition by connector order by evaluated_at) as next_at
    from connectors

),

returns as (

    select
        evaluated_at,
        connector,
        is_down,
        -- The first evaluation after it was down.
        max(case when is_down then next_at end) over (
            partition by connector order by evaluated_at rows between unbounded preceding and current row
        ) as returned_at
    from followed

),

-- As long as its alert goes on firing: what has waited meanwhile comes in first.
inhibitions as (

    select distinct
        returns.evaluated_at,
        topics.topic,
        'connector_not_running' as alert
    from returns
    inner join {{ ref('expected_topics') }} as topics on returns.connector = topics.connector
    inner join {{ ref('alert_settings') }} as settings on settings.alert = 'connector_not_running'
    where
        returns.is_down
        or {{ dbt.datediff('returns.returned_at', 'returns.evaluated_at', 'second') }} < settings.keep_firing_for_seconds

)

select * from inhibitions
