{# payload_field as a VARIANT, in both layouts. #}
{% macro payload_variant(field) -%}
    {%- set value = payload_field(field) -%}
    {{ value if var('payload_layout') == 'record_content' else 'cast(' ~ value ~ ' as variant)' }}
{%- endmacro %}
