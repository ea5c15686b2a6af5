{# Lands a status snapshot of the generated connector at every five-minute mark
   after `from_ms` and at `to_ms`; task `failed_task` has failed in all of them. #}
{% macro land_connector_status(from_ms, to_ms, options) -%}
    {%- set failed_task = options.failed_task if options.failed_task is not none else 'null' -%}
    insert into {{ landing_table('connector_status') }} (collected_at, connector, task_id, state, worker_id, trace, tasks_max)
    with

    marks as (

        select {{ to_ms }} as mark_ms
        union
        select ({{ from_ms // 300000 + 1 }} + n) * 300000 as mark_ms
        from {{ numbers((to_ms - from_ms) // 300000 + 1) }} as spine
        where ({{ from_ms // 300000 + 1 }} + n) * 300000 <= {{ to_ms }}

    ),

    members as (

        select cast(null as integer) as task_id
        union all
        select cast(n as integer) as task_id from {{ numbers(options.tasks) }} as spine

    )

    select
        {{ epoch_ms_to_timestamp('marks.mark_ms') }},
        '{{ options.connector }}',
        members.task_id,
        case when members.task_id = {{ failed_task }} then 'FAILED' else 'RUNNING' end,
        'connect-' || coalesce(members.task_id, 0) || ':8083',
        case
            when members.task_id = {{ failed_task }}
                then 'org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask due to unrecoverable exception.'
        end,
        case when members.task_id is null then {{ options.tasks }} end
    from marks
    cross join members
{%- endmacro %}
