{# The staging column of `record_time_key`. -#}
{% macro record_time_column() -%}
    {%- set columns = {
        'SnowflakeConnectorPushTime': 'push_time_ms',
        'CreateTime': 'create_time_ms',
        'LogAppendTime': 'append_time_ms',
    } -%}
    {%- if var('record_time_key') not in columns -%}
        {{ exceptions.raise_compiler_error(
            "record_time_key is '" ~ var('record_time_key') ~ "'; it takes one of " ~ columns.keys() | join(', ')
        ) }}
    {%- endif -%}
    {{ return(columns[var('record_time_key')]) }}
{%- endmacro %}
