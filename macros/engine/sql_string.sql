{# Text from outside as a SQL string literal. A backslash is a character to
   DuckDB and an escape to Snowflake. #}
{% macro sql_string(text) -%}
    {{ return(adapter.dispatch('sql_string')(text | string | replace('\x00', ''))) }}
{%- endmacro %}

{% macro duckdb__sql_string(text) -%}
    {{ return("'" ~ text | replace("'", "''") ~ "'") }}
{%- endmacro %}

{% macro snowflake__sql_string(text) -%}
    {{ return("'" ~ text | replace('\\', '\\\\') | replace("'", "''") ~ "'") }}
{%- endmacro %}
