{# The staging columns of `record_time_keys`, in their order. #}
{% macro record_time_columns() -%}
    {%- set columns = {
        'SnowflakeConnectorPushTime': 'push_time_ms',
        'CreateTime': 'create_time_ms',
        'LogAppendTime': 'append_time_ms',
    } -%}
    {%- for key in var('record_time_keys') if key not in columns -%}
        {{ exceptions.raise_compiler_error(
            "record_time_keys has '" ~ key ~ "'; it takes " ~ columns.keys() | join(', ')
        ) }}
    {%- endfor -%}
    {%- if not var('record_time_keys') -%}
        {{ exceptions.raise_compiler_error("record_time_keys is empty: name at least one metadata key that dates a record") }}
    {%- endif -%}
    {%- set found = [] -%}
    {%- for key in var('record_time_keys') -%}{%- do found.append(columns[key]) -%}{%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
