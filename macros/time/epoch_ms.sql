{# A datetime of this Jinja context (naive, UTC), or its ISO text, as epoch milliseconds. #}
{% macro epoch_ms(instant) -%}
    {%- set instant = modules.datetime.datetime.fromisoformat(instant) if instant is string else instant -%}
    {%- set since = instant - modules.datetime.datetime(1970, 1, 1) -%}
    {{ return((since.total_seconds() * 1000) | round | int) }}
{%- endmacro %}
