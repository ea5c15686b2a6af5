{# The best knowledge of when a record landed: its `record_time_key`, or else the
   latest clock that saw it. NULL where it has no time at all. #}
{% macro landed_at(push_time_ms, create_time_ms, append_time_ms) -%}
    {%- set arrival = {
        'push_time_ms': push_time_ms, 'create_time_ms': create_time_ms, 'append_time_ms': append_time_ms
    }[record_time_column()] -%}
    coalesce(
        {%- for clock in [arrival, push_time_ms, append_time_ms, create_time_ms] %}
        {{ epoch_ms_to_timestamp(clock) }}{{ ',' if not loop.last }}
        {%- endfor %}
    )
{%- endmacro %}
