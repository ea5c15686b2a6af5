{# How many closed days one of the batch models has still to rebuild: one row,
   `pending_days`. What the scheduler asks before it runs the batch, and after. #}
{% macro pending_days() -%}
    select count(distinct order_date) as pending_days
    from (
        {{ differing_days(load_relation(ref('orders_daily'))) }}
        union all
        {{ differing_days(load_relation(ref('customers_daily'))) }}
    ) as days
{%- endmacro %}
