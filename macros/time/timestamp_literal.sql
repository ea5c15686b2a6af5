{% macro timestamp_literal(instant) -%}
    cast('{{ instant.strftime("%Y-%m-%d %H:%M:%S.%f") }}' as {{ dbt.type_timestamp() }})
{%- endmacro %}
