{# What a batch model stores of every closed day and currency, in the shape of
   streamed_days, and `built_load_id`.
     daily  orders_daily or customers_daily; none: nothing is stored yet #}
{% macro stored_days(daily) -%}
    {%- if daily is none %}
    select
        cast(null as date) as order_date, cast(null as varchar) as currency, 0 as orders, 0 as event_count,
        0 as amount, 0 as load_id, 0 as built_load_id
    where 1 = 0
    {%- else %}
    select
        order_date,
        currency,
        sum(orders) as orders,
        sum(event_count) as event_count,
        sum(amount) as amount,
        max(load_id) as load_id,
        max(built_load_id) as built_load_id
    from {{ daily }}
    where order_date < {{ as_of_day() }}
    group by 1, 2
    {%- endif %}
{%- endmacro %}
