{# How many closed days one of the batch models has still to rebuild: one row,
   `pending`, and `is_partial`, whether that is more than one run rebuilds. What the
   scheduler asks before it runs the batch, and after. #}
{% macro pending_days() -%}
    select
        count(distinct order_date) as pending,
        count(distinct order_date) > {{ var('batch_days') }} as is_partial
    from (
        {{ differing_days(load_relation(ref('orders_daily'))) }}
        union all
        {{ differing_days(load_relation(ref('customers_daily'))) }}
    ) as days
{%- endmacro %}
