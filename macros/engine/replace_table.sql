{# Creates a table from a SELECT, in one statement, also where there is one. #}
{% macro replace_table(table, select) -%}
    {{ adapter.dispatch('replace_table')(table, select) }}
{%- endmacro %}

{% macro duckdb__replace_table(table, select) -%}
    create or replace table {{ table }} as {{ select }}
{%- endmacro %}

{% macro snowflake__replace_table(table, select) -%}
    create or replace transient table {{ table }} copy grants as {{ select }}
{%- endmacro %}
