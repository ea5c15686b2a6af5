{% macro epoch_ms_to_timestamp(epoch_ms) -%}
    {{ return(adapter.dispatch('epoch_ms_to_timestamp')(epoch_ms)) }}
{%- endmacro %}

{% macro duckdb__epoch_ms_to_timestamp(epoch_ms) -%}
    make_timestamp(({{ epoch_ms }}) * 1000)
{%- endmacro %}

{% macro snowflake__epoch_ms_to_timestamp(epoch_ms) -%}
    to_timestamp_ntz({{ epoch_ms }}, 3)
{%- endmacro %}
