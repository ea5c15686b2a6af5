{# Epoch milliseconds as ISO 8601 text with milliseconds and Z. #}
{% macro iso_timestamp(epoch_ms) -%}
    {{ return(adapter.dispatch('iso_timestamp')(epoch_ms)) }}
{%- endmacro %}

{% macro duckdb__iso_timestamp(epoch_ms) -%}
    strftime(make_timestamp(({{ epoch_ms }}) * 1000), '%Y-%m-%dT%H:%M:%S.%gZ')
{%- endmacro %}

{% macro snowflake__iso_timestamp(epoch_ms) -%}
    to_char(to_timestamp_ntz({{ epoch_ms }}, 3), 'YYYY-MM-DD"T"HH24:MI:SS.FF3"Z"')
{%- endmacro %}
