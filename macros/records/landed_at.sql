{# The best knowledge of when a record landed: the first of `record_time_keys`
   that it has. NULL where it has none. #}
{% macro landed_at() -%}
    {%- set columns = record_time_columns() -%}
    {{ epoch_ms_to_timestamp('coalesce(' ~ columns | join(', ') ~ ')' if columns | length > 1 else columns[0]) }}
{%- endmacro %}
