with

alerts as (

    select
        alerts.*,
        settings.repeat_after_seconds,
        settings.owner,
        settings.tags,
        settings.channel,
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

-- Each receiver once for each alert, by the route that lets most of it through.
routed as (

    select
        alerts.*,
        routes.receiver,
        coalesce(routes.channel, nullif(alerts.channel, '')) as route_channel,
        routes.level as route_level
    from alerts
    inner join routes
        on
            (routes.owner is null or routes.owner = alerts.owner)
            and (routes.tag is null or ' ' || alerts.tags || ' ' like '% ' || routes.tag || ' %')
    qualify
        row_number() over (
            partition by alerts.alert, alerts.opened_at, routes.receiver order by routes.level, routes.channel
        ) = 1

),

notifications as (

    select * from {{ source('monitoring', 'notifications') }}

),

told as (

    select
        receiver,
        alert,
        opened_at,
        max(notified_at) as told_at,
        {{ value_at_max('kind', 'notified_at') }} as kind,
        {{ value_at_max('level', 'notified_at') }} as level,
        {{ value_at_max('reference', 'notified_at') }} as reference
    from notifications
    where outcome = 'accepted'
    group by receiver, alert, opened_at

),

-- An attempt without an outcome may have arrived: the process was killed, or nobody
-- answered.
attempts as (

    select
        receiver,
        alert,
        opened_at,
        notified_at,
        max(case when outcome = 'attempted' then 0 else 1 end) as is_answered
    from notifications
    group by receiver, alert, opened_at, notified_at

),

last_attempts as (

    select
        receiver,
        alert,
        opened_at,
        max(notified_at) as attempted_at,
        max(case when is_answered = 0 then notified_at end) as unanswered_at
    from attempts
    group by receiver, alert, opened_at

),

due as (

    select
        routed.*,
        told.reference,
        last_attempts.unanswered_at is not null
        and (told.told_at is null or told.told_at < last_attempts.unanswered_at) as may_have_arrived,
        case
            when told.kind = 'resolved' then null
            -- Also of what fired while the receiver was down: it was tried.
            when routed.state = 'resolved' and last_attempts.attempted_at is not null then 'resolved'
            when routed.state = 'resolved' or routed.open_level < routed.route_level then null
            when told.kind is null then 'firing'
            when routed.open_level > told.level then 'escalated'
            when {{ dbt.datediff('told.told_at', 'routed.evaluated_at', 'second') }} >= routed.repeat_after_seconds then 'repeated'
        end as kind
    from routed
    left join told
        on routed.receiver = told.receiver and routed.alert = told.alert and routed.opened_at = told.opened_at
    left join last_attempts
        on
            routed.receiver = last_attempts.receiver
            and routed.alert = last_attempts.alert
            and routed.opened_at = last_attempts.opened_at

)

select
    receiver,
    route_channel as channel,
    alert,
    opened_at,
    kind,
    case when open_level = 2 then 'error' else 'warn' end as severity,
    last_seen_at,
    resolved_at,
    bad_runs,
    {{ variant_to_json('entities') }} as entities,
    entity_count,
    owner,
    runbook,
    model,
    may_have_arrived,
    reference,
    evaluated_at
from due
where kind is not null
