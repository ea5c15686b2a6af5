{% macro timestamp_literal(instant) -%}
    {%- set instant = modules.datetime.datetime.fromisoformat(instant) if instant is string else instant -%}
    cast('{{ instant.strftime("%Y-%m-%d %H:%M:%S.%f") }}' as {{ dbt.type_timestamp() }})
{%- endmacro %}
