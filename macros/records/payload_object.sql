{# The whole payload as one VARIANT, NULL where it has no value at all. #}
{% macro payload_object() -%}
    {%- if var('payload_layout') == 'record_content' -%}
        record_content
    {%- else -%}
        {%- set fields = payload_columns() -%}
        case
            when coalesce({% for column in fields.values() %}cast({{ column }} as varchar), {% endfor %}null) is not null
                then {{ variant_object(fields) }}
        end
    {%- endif -%}
{%- endmacro %}
