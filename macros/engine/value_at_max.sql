{# Aggregate: `value` of the row with the greatest `key`, NULL too; rows without a
   key do not count. DuckDB's own max_by would pass over a NULL value. #}
{% macro value_at_max(value, key) -%}
    {{ return(adapter.dispatch('value_at_max')(value, key)) }}
{%- endmacro %}

{% macro duckdb__value_at_max(value, key) -%}
    arg_max_null({{ value }}, {{ key }})
{%- endmacro %}

{% macro snowflake__value_at_max(value, key) -%}
    max_by({{ value }}, {{ key }})
{%- endmacro %}
