{# Every landed record whose `record_time_key` is at or after `from_ms`, a literal
   in epoch milliseconds (and before `to_ms`, where given), and every record that
   lacks that key. One bare predicate on one key is all that DuckDB prunes by: add
   no other filter on metadata to what reads this, or it scans the whole table. #}
{% macro landed_since(from_ms, to_ms=none) -%}
    {%- set column = record_time_column() -%}
    select *
    from {{ ref('stg_streaming__order_events') }}
    where
        ({{ column }} >= {{ from_ms }}{{ ' and ' ~ column ~ ' < ' ~ to_ms if to_ms is not none }})
        or {{ column }} is null
{%- endmacro %}
