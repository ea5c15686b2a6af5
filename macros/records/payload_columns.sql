{# The payload's columns in STREAMING.ORDER_EVENTS, where the connector writes one per
   field and adds those that turn up: a mapping of the field, in lower case, to the
   column, quoted. Producers choose these names, so that they may hold anything. #}
{% macro payload_columns() -%}
    {%- set columns = {} -%}
    {%- for name in payload_column_names() if name | lower not in ['record_metadata', 'record_content'] -%}
        {%- do columns.update({name if name | lower in columns else name | lower: adapter.quote(name | replace('"', '""'))}) -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}

{% macro payload_column_names() -%}
    {%- if not execute -%}{{ return(var('payload_fields').keys() | list) }}{%- endif -%}
    {{ return(adapter.get_columns_in_relation(landing_table('order_events')) | map(attribute='name') | list) }}
{%- endmacro %}
