{# Whether the session may add columns to a table: on Snowflake that takes OWNERSHIP. #}
{% macro owns_table(table) -%}
    {{ return(adapter.dispatch('owns_table')(table)) }}
{%- endmacro %}

{% macro duckdb__owns_table(table) -%}
    {{ return(true) }}
{%- endmacro %}

{% macro snowflake__owns_table(table) -%}
    {%- set owner = run_query(
        'select table_owner from ' ~ table.database ~ '.information_schema.tables'
        ~ ' where table_schema = ' ~ sql_string(table.schema | upper)
        ~ ' and table_name = ' ~ sql_string(table.identifier | upper)
    ).rows[0][0] -%}
    {#- Each function is false for a role of the other kind. -#}
    {{ return(
        run_query('select is_role_in_session(' ~ sql_string(owner) ~ ')').rows[0][0]
        or run_query('select is_database_role_in_session(' ~ sql_string(owner) ~ ')').rows[0][0]
    ) }}
{%- endmacro %}
