{# Every alert's last measurement, healthy or not: the rows that its test stored,
   one SELECT per alert of the project. `is_stale` where that is older than the
   monitor may be; an alert that never ran has one row of NULLs. #}
{% macro alert_status() -%}
    {%- set age = dbt.datediff('evaluated_at', as_of(), 'second') -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'test' and 'alert' in node.tags %}
    {{ 'union all' if not loop.first }}
    {%- set stored = adapter.get_relation(node.database, node.schema, node.alias) %}
    {%- if stored is not none %}
    select
        '{{ node.name }}' as alert, evaluated_at, entity, level, measured, allowed, measured_value, since, detail, muted_by,
        coalesce({{ age }} > {{ var('monitoring_stale_warn_seconds') }}, true) as is_stale
    from {{ stored }}
    {%- else %}
    select
        '{{ node.name }}' as alert, cast(null as datetime) as evaluated_at, cast(null as varchar) as entity, 2 as level,
        'never evaluated' as measured, cast(null as varchar) as allowed, cast(null as double) as measured_value,
        cast(null as datetime) as since, cast(null as varchar) as detail, cast(null as varchar) as muted_by, true as is_stale
    {%- endif %}
    {%- endfor %}
{%- endmacro %}
