{# The first instant of the UTC day of `as_of`: the days before it are closed. #}
{% macro as_of_day() -%}
    {{ timestamp_literal(as_of_instant().replace(hour=0, minute=0, second=0, microsecond=0)) }}
{%- endmacro %}
