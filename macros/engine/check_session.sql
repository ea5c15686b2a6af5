{# Raises a compile error where a session could lose rows. dbt-snowflake deletes and inserts
   in one transaction and does not roll it back when the insert fails: the session's next
   CREATE would commit the deletion alone. #}
{% macro check_session() -%}
    {{ adapter.dispatch('check_session')() }}
{%- endmacro %}

{% macro duckdb__check_session() -%}
{%- endmacro %}

{% macro snowflake__check_session() -%}
    {%- if not execute -%}{{ return('') }}{%- endif -%}
    {%- set found = run_query("show parameters like 'TRANSACTION_ABORT_ON_ERROR' in session") -%}
    {%- if not found.rows or found.rows[0][1] | lower != 'true' -%}
        {{ exceptions.raise_compiler_error(
            'TRANSACTION_ABORT_ON_ERROR is false for ' ~ target.user ~ ': a failed insert could commit the deletion before it. '
            ~ 'Run, as in orchestration/snowflake/setup.sql: alter user ' ~ target.user ~ ' set transaction_abort_on_error = true'
        ) }}
    {%- endif -%}
{%- endmacro %}
