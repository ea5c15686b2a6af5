{% macro variant_to_json(value) -%}
    {{ return(adapter.dispatch('variant_to_json')(value)) }}
{%- endmacro %}

{% macro duckdb__variant_to_json(value) -%}
    cast(cast({{ value }} as json) as varchar)
{%- endmacro %}

{% macro snowflake__variant_to_json(value) -%}
    to_json({{ value }})
{%- endmacro %}
