{# The payload's columns in STREAMING.ORDER_EVENTS, lower case, where the connector
   writes one per field and adds those that turn up. #}
{% macro payload_columns() -%}
    {%- if not execute -%}{{ return(var('payload_fields').keys() | list) }}{%- endif -%}
    {%- set columns = adapter.get_columns_in_relation(landing_table('order_events')) | map(attribute='name') | map('lower') -%}
    {{ return(columns | reject('in', ['record_metadata', 'record_content']) | list) }}
{%- endmacro %}
