{# A timestamp as microseconds since 1970. #}
{% macro epoch_us(instant) -%}
    {{ return(adapter.dispatch('epoch_us')(instant)) }}
{%- endmacro %}

{% macro duckdb__epoch_us(instant) -%}
    epoch_us({{ instant }})
{%- endmacro %}

{% macro snowflake__epoch_us(instant) -%}
    date_part(epoch_microsecond, {{ instant }})
{%- endmacro %}
