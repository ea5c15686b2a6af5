{# A field of the order payload, as SQL: from RECORD_CONTENT or, where the connector
   writes columns (`payload_layout: columns`), from the column of that name. A column
   that no record has needed yet is not there: then the field is NULL. #}
{% macro payload_field(field) -%}
    {%- if var('payload_layout') == 'record_content' -%}
        record_content['{{ field }}']
    {%- elif var('payload_layout') != 'columns' -%}
        {{ exceptions.raise_compiler_error(
            "payload_layout is '" ~ var('payload_layout') ~ "'; it takes record_content or columns"
        ) }}
    {%- elif field in payload_columns() -%}
        {{ payload_columns()[field] }}
    {%- else -%}
        cast(null as varchar)
    {%- endif -%}
{%- endmacro %}
