{# Every landed record whose `record_time_key` is at or after `from_ms`, a literal in
   epoch milliseconds, and before `to_ms`, where given. One bare predicate on one key is
   all that DuckDB prunes by: add no other filter on metadata to what reads this, or it
   scans the whole table.
     undated  also every record without that key, or with one that is no time; false:
              leave them to a later step #}
{% macro landed_since(from_ms, to_ms=none, undated=true) -%}
    {%- set column = record_time_column() -%}
    select *
    from {{ ref('stg_streaming__order_events') }}
    where
        ({{ column }} >= {{ from_ms }}{{ ' and ' ~ column ~ ' < ' ~ to_ms if to_ms is not none }})
        {{- ' or ' ~ column ~ ' is null or ' ~ column ~ ' < 0' if undated }}
{%- endmacro %}
