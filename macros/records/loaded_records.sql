{# record_id and loaded_at of what `records` already holds from `from_at` on.
   Records without an arrival time are few and always compared; the branch is of
   its own so that both prune. #}
{% macro loaded_records(records, from_at) -%}
    {%- if records is none %}
    select cast(null as varchar) as record_id, {{ as_of() }} as loaded_at where 1 = 0
    {%- else %}
    select record_id, loaded_at
    from {{ records }}
    where landed_at >= {{ timestamp_literal(from_at) }}
    union all
    select record_id, loaded_at
    from {{ records }}
    where not is_dated and landed_at < {{ timestamp_literal(from_at) }}
    {%- endif %}
{%- endmacro %}
