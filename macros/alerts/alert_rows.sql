{# The rows of an alert: every entity of the newest evaluation at or before
   `as_of`, healthy ones too, so that the stored table is the alert's last
   measurement. `level` is 0 ok, 1 warn, 2 error; `since` is the first evaluation
   of the present breach, looked for in the last day.
     relation  a watch view: evaluated_at, entity, detail and what is measured
     level     SQL for the level; NULL counts as 2: not knowing is not healthy
     measured, allowed  SQL for the text that people read; allowed is the limit that was crossed
     value     SQL for the measured number, NULL for a state
     topic     SQL for the topic that the entity is of: while its connector is down, that
               is told instead (see inhibitions). None: never
   `muted_by` says which silence or alert mutes a bad row. #}
{% macro alert_rows(relation, level, measured, allowed, value, topic=none) -%}
    with

    evaluations as (

        select
            evaluated_at,
            entity,
            coalesce(detail, '') as detail,
            coalesce({{ level }}, 2) as level,
            {{ measured }} as measured,
            {{ allowed }} as allowed,
            cast({{ value }} as double) as measured_value,
            {{ topic or 'cast(null as varchar)' }} as topic
        from {{ relation }}
        where
            evaluated_at <= {{ as_of() }}
            and evaluated_at > {{ dbt.dateadd('day', -1, as_of()) }}

    ),

    breaches as (

        select
            *,
            max(case when level = 0 then evaluated_at end) over (partition by entity) as last_ok_at,
            max(evaluated_at) over () as newest_at
        from evaluations

    ),

    starts as (

        select
            entity,
            min(evaluated_at) as since
        from breaches
        where level > 0 and (last_ok_at is null or evaluated_at > last_ok_at)
        group by entity

    )

    select
        breaches.evaluated_at,
        breaches.entity,
        breaches.level,
        breaches.measured,
        breaches.allowed,
        breaches.measured_value,
        case when breaches.level > 0 then starts.since end as since,
        breaches.detail,
        case
            when breaches.level = 0 then null
            when silences.ends_at is not null then 'silence until ' || left(cast(silences.ends_at as varchar), 16) || ' UTC'
            {%- if topic %}
            when inhibitions.alert is not null then inhibitions.alert
            {%- endif %}
        end as muted_by
    from breaches
    left join starts on breaches.entity = starts.entity
    {%- if topic %}
    left join {{ ref('inhibitions') }} as inhibitions
        on breaches.evaluated_at = inhibitions.evaluated_at and breaches.topic = inhibitions.topic
    {%- endif %}
    left join {{ ref('silence_patterns') }} as silences
        on
            '{{ model.name }}' like silences.alert_pattern escape '!'
            and breaches.entity like silences.entity_pattern escape '!'
            and breaches.evaluated_at >= silences.starts_at
            and breaches.evaluated_at < silences.ends_at
    where breaches.evaluated_at = breaches.newest_at
    -- The silence that lasts longest.
    qualify row_number() over (partition by breaches.entity order by silences.ends_at desc nulls last) = 1
{%- endmacro %}
