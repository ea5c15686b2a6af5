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
                then evaluated_at
        end) as down_at
    from {{ ref('connector_health') }}
    group by evaluated_at, connector

),

last_downs as (

    select
        evaluated_at,
        connector,
        max(down_at) over (
            partition by connector order by evaluated_at rows between unbounded preceding and current row
        ) as down_at
    from connectors

),

-- As long as its alert goes on firing: what has waited meanwhile comes in first.
inhibitions as (

    select distinct
        last_downs.evaluated_at,
        topics.topic,
        'connector_not_running' as alert
    from last_downs
    inner join {{ ref('expected_topics') }} as topics on last_downs.connector = topics.connector
    inner join {{ ref('alert_settings') }} as settings on settings.alert = 'connector_not_running'
    where {{ dbt.datediff('last_downs.down_at', 'last_downs.evaluated_at', 'second') }} <= settings.keep_firing_for_seconds

)

select * from inhibitions
