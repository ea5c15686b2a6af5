{# Every landed record with an arrival time at or after `from_ms`, a literal in
   epoch milliseconds (and before `to_ms`, where given), and every record without
   an arrival time. One branch per time key, each with bare predicates: an OR of
   them, or a coalesce, would scan the whole table on DuckDB. #}
{% macro landed_since(from_ms, to_ms=none) -%}
    {%- set columns = record_time_columns() -%}
    {%- for column in columns %}
    select *
    from {{ ref('stg_streaming__order_events') }}
    where
        {{ column }} >= {{ from_ms }}
        {%- if to_ms is not none %}
        and {{ column }} < {{ to_ms }}
        {%- endif %}
        {%- for better in columns[:loop.index0] %}
        and {{ better }} is null
        {%- endfor %}
    union all
    {%- endfor %}
    select *
    from {{ ref('stg_streaming__order_events') }}
    where {% for column in columns %}{{ column }} is null{{ ' and ' if not loop.last }}{% endfor %}
{%- endmacro %}
