{# A measured number with its unit, as text; 'not computable' for NULL. #}
{% macro measured_text(measured, unit) -%}
    coalesce(cast(round({{ measured }}, 1) as varchar) || ' {{ unit }}', 'not computable')
{%- endmacro %}
