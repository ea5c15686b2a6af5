{# For a FROM: the elements of a list `value` of the tables before it, as `alias.value`; none of NULL. #}
{% macro variant_elements(value, alias) -%}
    {{ return(adapter.dispatch('variant_elements')(value, alias)) }}
{%- endmacro %}

{% macro duckdb__variant_elements(value, alias) -%}
    unnest(cast({{ value }} as variant [])) as {{ alias }} (value)
{%- endmacro %}

{% macro snowflake__variant_elements(value, alias) -%}
    lateral flatten(input => {{ value }}) as {{ alias }}
{%- endmacro %}
