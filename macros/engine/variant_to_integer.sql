{# A VARIANT as a whole number of `type`, NULL if it is none. Nothing prunes through
   it: the time keys are cast bare instead. #}
{% macro variant_to_integer(value, type) -%}
    {{ return(adapter.dispatch('variant_to_integer')(value, type)) }}
{%- endmacro %}

{% macro duckdb__variant_to_integer(value, type) -%}
    try_cast({{ value }} as {{ type }})
{%- endmacro %}

{% macro snowflake__variant_to_integer(value, type) -%}
    cast(try_to_number(to_varchar({{ value }})) as {{ type }})
{%- endmacro %}
