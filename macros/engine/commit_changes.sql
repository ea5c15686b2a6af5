{# What a run-operation has written stays: DuckDB's connection is in a transaction then,
   Snowflake commits each statement. #}
{% macro commit_changes() -%}
    {{ adapter.dispatch('commit_changes')() }}
{%- endmacro %}

{% macro duckdb__commit_changes() -%}
    {%- do adapter.commit() -%}
{%- endmacro %}

{% macro snowflake__commit_changes() -%}
{%- endmacro %}
