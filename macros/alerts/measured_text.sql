{# A measured number with its unit, as text; 'not computable' for NULL. #}
{% macro measured_text(measured, unit) -%}
    coalesce({{ with_unit('round(' ~ measured ~ ', 1)', unit) }}, 'not computable')
{%- endmacro %}
