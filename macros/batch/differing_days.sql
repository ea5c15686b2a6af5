{# Every closed day, once, whose stored figures are not the stream's. No change of an
   order escapes: a day that gains an event has a newer load, and one that only loses
   an order to another day has fewer orders.
     daily  orders_daily or customers_daily, or none #}
{% macro differing_days(daily) -%}
    {%- set orders = load_relation(ref('fct_orders')) -%}
    {%- if orders is none %}
    select cast(null as date) as order_date where 1 = 0
    {%- else %}
    select coalesce(streamed.order_date, stored.order_date) as order_date
    from ({{ streamed_days(orders) }}) as streamed
    full outer join ({{ stored_days(daily) }}) as stored
        on streamed.order_date = stored.order_date and streamed.currency = stored.currency
    where
        {%- for figure in ['orders', 'event_count', 'amount', 'load_id'] %}
        {{ 'or ' if not loop.first }}streamed.{{ figure }} is distinct from stored.{{ figure }}
        {%- endfor %}
    group by 1
    {%- endif %}
{%- endmacro %}
