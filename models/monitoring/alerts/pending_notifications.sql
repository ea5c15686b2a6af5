with

-- Later evaluations and later notifications are ignored: see alerts.
present as (

    select coalesce(max(as_of), cast('9999-12-31' as datetime)) as as_of from {{ ref('evaluation_marks') }}

),

alerts as (

    select
        alerts.alert,
        alerts.opened_at,
        alerts.state,
        alerts.severity,
        alerts.last_seen_at,
        alerts.resolved_at,
        alerts.evaluated_at,
        alerts.bad_runs,
        alerts.entity_count,
        alerts.entities,
        alerts.open_level,
        alerts.open_count,
        settings.repeat_after_seconds,
        settings.owner,
        settings.tags,
        settings.channel as own_channel,
        settings.runbook,
        settings.model
    from {{ ref('alerts') }} as alerts
    inner join {{ ref('alert_settings') }} as settings on alerts.alert = settings.alert
    where alerts.fired_at is not null

),

routes as (

    select
        *,
        case when severity = 'error' then 2 else 1 end as level
    from {{ ref('alert_routes') }}

),

-- Each alert once for each receiver, and for each channel of Slack, by the route with the lowest severity.
candidates as (

    select
        alerts.*,
        routes.receiver,
        case when routes.receiver = 'slack' then coalesce(routes.channel, nullif(alerts.own_channel, '')) end as channel,
        routes.level as route_level
    from alerts
    inner join routes
        on
            (routes.owner is null or routes.owner = alerts.owner)
            and (routes.tag is null or ' ' || alerts.tags || ' ' like '% ' || routes.tag || ' %')

),

routed as (

    select
        *,
        receiver || ' ' || coalesce(channel, '') as route,
        opened_at = max(opened_at) over (partition by alert, receiver, channel) as is_newest
    from candidates
    qualify row_number() over (partition by alert, opened_at, receiver, channel order by route_level) = 1

),

notifications as (

    select
        *,
        receiver || ' ' || coalesce(channel, '') as route
    from {{ source('monitoring', 'notifications') }}
    where notified_at <= (select present.as_of from present)

),

told as (

    select
        route,
        alert,
        opened_at,
        min(receiver) as receiver,
        min(channel) as channel,
        max(notified_at) as told_at,
        {{ value_at_max('kind', 'notified_at') }} as kind,
        {{ value_at_max('level', 'notified_at') }} as level,
        {{ value_at_max('reference', 'notified_at') }} as reference
    from notifications
    where outcome = 'accepted'
    group by route, alert, opened_at

),

-- The runs whose rows receivers were notified of, for alerts that still fire.
told_runs as (

    select
        notifications.route,
        notifications.alert,
        notifications.opened_at,
        results.failing_rows,
        coalesce(results.open_count, results.row_count) as open_count
    from routed
    inner join notifications
        on
            routed.route = notifications.route
            and routed.alert = notifications.alert
            and routed.opened_at = notifications.opened_at
            and notifications.outcome = 'accepted'
    inner join {{ source('monitoring', 'test_results') }} as results
        on notifications.alert = results.node and notifications.last_seen_at = results.run_at
    where routed.state = 'firing'

),

told_counts as (

    select
        route,
        alert,
        opened_at,
        max(open_count) as open_count
    from told_runs
    group by route, alert, opened_at

),

told_entities as (

    select distinct
        told_runs.route,
        told_runs.alert,
        told_runs.opened_at,
        cast(failing.value['entity'] as varchar) as entity
    from told_runs, {{ variant_elements('told_runs.failing_rows', 'failing') }}
    where cast(failing.value['muted_by'] as varchar) is null

),

open_entities as (

    select
        routed.route,
        routed.alert,
        routed.opened_at,
        routed.open_count,
        cast(failing.value['entity'] as varchar) as entity
    from routed, {{ variant_elements('routed.entities', 'failing') }}
    where routed.state = 'firing' and cast(failing.value['muted_by'] as varchar) is null

),

-- Entities that no earlier notification of the episode has. If more rows fail than are stored, only a higher count
-- triggers a notification.
widened as (

    select distinct
        open_entities.route,
        open_entities.alert,
        open_entities.opened_at
    from open_entities
    inner join told_counts
        on
            open_entities.route = told_counts.route
            and open_entities.alert = told_counts.alert
            and open_entities.opened_at = told_counts.opened_at
    left join told_entities
        on
            open_entities.route = told_entities.route
            and open_entities.alert = told_entities.alert
            and open_entities.opened_at = told_entities.opened_at
            and open_entities.entity = told_entities.entity
    where
        told_entities.entity is null
        and (told_counts.open_count < {{ var('alert_rows_kept') }} or open_entities.open_count > told_counts.open_count)

),

-- An attempt without an outcome may have arrived: the process was killed, or nobody
-- answered.
attempts as (

    select
        route,
        alert,
        opened_at,
        notified_at,
        max(case when outcome = 'attempted' then 0 else 1 end) as is_answered
    from notifications
    group by route, alert, opened_at, notified_at

),

last_attempts as (

    select
        route,
        alert,
        opened_at,
        max(notified_at) as attempted_at,
        max(case when is_answered = 0 then notified_at end) as unanswered_at
    from attempts
    group by route, alert, opened_at

),

due as (

    select
        routed.*,
        told.reference,
        last_attempts.unanswered_at is not null
        and (told.told_at is null or told.told_at < last_attempts.unanswered_at) as may_have_arrived,
        case
            when routed.state = 'resolved' and told.kind = 'resolved' then null
            when routed.state = 'resolved' and told.kind is not null then 'resolved'
            -- The alert fired and ended while the receiver was down: the newest episode is sent, and each episode that
            -- the receiver may have opened.
            when routed.state = 'resolved' then case
                when last_attempts.unanswered_at is not null or (last_attempts.attempted_at is not null and routed.is_newest)
                    then 'resolved'
            end
            when routed.open_level < routed.route_level then null
            -- Also after a resolved notification: other settings, or a late run, can make the episode fire again.
            when coalesce(told.kind, 'resolved') = 'resolved' then 'firing'
            when routed.open_level > told.level then 'escalated'
            when widened.alert is not null then 'widened'
            when {{ dbt.datediff('told.told_at', 'routed.evaluated_at', 'second') }} >= routed.repeat_after_seconds then 'repeated'
        end as kind
    from routed
    left join told
        on routed.route = told.route and routed.alert = told.alert and routed.opened_at = told.opened_at
    left join widened
        on routed.route = widened.route and routed.alert = widened.alert and routed.opened_at = widened.opened_at
    left join last_attempts
        on
            routed.route = last_attempts.route
            and routed.alert = last_attempts.alert
            and routed.opened_at = last_attempts.opened_at

),

-- The receiver was notified, and the episode no longer exists: its test or its route is gone, or `for` is longer now.
-- Nothing else would close it at the receiver.
orphans as (

    select
        told.*,
        newest.run_at
    from told
    left join routed
        on told.route = routed.route and told.alert = routed.alert and told.opened_at = routed.opened_at
    cross join (
        select max(run_at) as run_at
        from {{ source('monitoring', 'test_results') }}
        where run_at <= (select present.as_of from present)
    ) as newest
    where told.kind <> 'resolved' and routed.alert is null

)

select
    receiver,
    channel,
    alert,
    opened_at,
    kind,
    case
        when kind = 'resolved' then severity
        when open_level = 2 then 'error'
        else 'warn'
    end as severity,
    last_seen_at,
    resolved_at,
    bad_runs,
    {{ variant_to_json('entities') }} as entities,
    case when kind = 'resolved' then entity_count else open_count end as entity_count,
    owner,
    runbook,
    model,
    may_have_arrived,
    reference,
    evaluated_at
from due
where kind is not null
union all
select
    receiver,
    channel,
    alert,
    opened_at,
    'resolved' as kind,
    case when level = 2 then 'error' else 'warn' end as severity,
    told_at as last_seen_at,
    coalesce(run_at, told_at) as resolved_at,
    0 as bad_runs,
    cast(null as varchar) as entities,
    0 as entity_count,
    cast(null as varchar) as owner,
    cast(null as varchar) as runbook,
    cast(null as varchar) as model,
    false as may_have_arrived,
    reference,
    coalesce(run_at, told_at) as evaluated_at
from orphans
