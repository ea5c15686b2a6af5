{# Query: one row, `has_landed`: whether a record or a sample of a collector is as old as
   `as_of`, so that there is something to evaluate. #}
{% macro has_landed() -%}
    select
        exists (
            select 1
            from {{ ref('stg_streaming__order_events') }}
            where {{ record_time_column() }} >= 0 and {{ record_time_column() }} <= {{ epoch_ms(as_of_instant()) }}
        )
        {%- for feed in ['kafka_offsets', 'connector_status'] %}
        or exists (select 1 from {{ ref('stg_streaming__' ~ feed) }} where collected_at <= {{ as_of() }})
        {%- endfor %} as has_landed
{%- endmacro %}
