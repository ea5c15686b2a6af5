{# DATETIME, not TIMESTAMP: on Snowflake the latter is what the account makes of it. #}
{% macro timestamp_literal(instant) -%}
    {%- set instant = modules.datetime.datetime.fromisoformat(instant) if instant is string else instant -%}
    cast('{{ instant.strftime("%Y-%m-%d %H:%M:%S.%f") }}' as datetime)
{%- endmacro %}
