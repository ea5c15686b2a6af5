{# `fields`: a mapping of key to SQL expression. A NULL value keeps its key. #}
{% macro variant_object(fields) -%}
    {{ return(adapter.dispatch('variant_object')(fields)) }}
{%- endmacro %}

{% macro duckdb__variant_object(fields) -%}
    cast({
        {%- for key, value in fields.items() %}
        {{ sql_string(key) }}: {{ value }}{{ ',' if not loop.last }}
        {%- endfor %}
    } as variant)
{%- endmacro %}

{% macro snowflake__variant_object(fields) -%}
    to_variant(object_construct_keep_null(
        {%- for key, value in fields.items() %}
        {{ sql_string(key) }}, {{ value }}{{ ',' if not loop.last }}
        {%- endfor %}
    ))
{%- endmacro %}
