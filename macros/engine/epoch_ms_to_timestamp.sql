{# NULL outside the years 1970 to 9999: a producer that writes nanoseconds must not
   break every query of the view. #}
{% macro epoch_ms_to_timestamp(epoch_ms) -%}
    case
        when {{ epoch_ms }} between 0 and {{ last_epoch_ms() }}
            then {{ adapter.dispatch('epoch_ms_to_timestamp')(epoch_ms) }}
    end
{%- endmacro %}

{% macro duckdb__epoch_ms_to_timestamp(epoch_ms) -%}
    make_timestamp(({{ epoch_ms }}) * 1000)
{%- endmacro %}

{% macro snowflake__epoch_ms_to_timestamp(epoch_ms) -%}
    to_timestamp_ntz({{ epoch_ms }}, 3)
{%- endmacro %}
