{# The schemas are STREAMING, ANALYTICS and MONITORING exactly, not dbt's
   `<target>_<custom>`; only a developer's `schema_prefix` goes before them. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ var('schema_prefix') }}{{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
