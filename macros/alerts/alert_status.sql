{# Every alert's last measurement, healthy or not: the rows that its test stored,
   one SELECT per alert of the project. An alert that never ran has none. #}
{% macro alert_status() -%}
    {%- set selects = [] -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'test' and 'alert' in node.tags -%}
        {%- set stored = adapter.get_relation(node.database, node.schema, node.alias) -%}
        {%- if stored is not none -%}
            {%- do selects.append(
                "select '" ~ node.name ~ "' as alert, evaluated_at, entity, level, measured, allowed, measured_value, since, detail from " ~ stored
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ selects | join('\nunion all\n') if selects else
        "select 'none' as alert, null as evaluated_at, null as entity, 0 as level, null as measured, null as allowed, null as measured_value, null as since, null as detail where 1 = 0" }}
{%- endmacro %}
