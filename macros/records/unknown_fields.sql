{# The payload's fields that `payload_fields` does not list, as text; NULL where there
   are none. A column that was added for another record is not this one's. #}
{% macro unknown_fields() -%}
    {%- set known = var('payload_fields').keys() | list -%}
    {%- if var('payload_layout') == 'record_content' -%}
        {{ unknown_keys('record_content', known) }}
    {%- else -%}
        nullif(rtrim('' {%- for field, column in payload_columns().items() | sort if field not in known %}
            || case when {{ column }} is not null then {{ sql_string(field ~ ', ') }} else '' end
        {%- endfor %}, ', '), '')
    {%- endif -%}
{%- endmacro %}
