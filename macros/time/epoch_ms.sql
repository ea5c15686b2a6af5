{# A datetime of this Jinja context (naive, UTC) as epoch milliseconds. #}
{% macro epoch_ms(instant) -%}
    {%- set since = instant - modules.datetime.datetime(1970, 1, 1) -%}
    {{ return((since.total_seconds() * 1000) | round | int) }}
{%- endmacro %}
