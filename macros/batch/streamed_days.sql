{# What the stream says of every closed day and currency. An order belongs to the UTC
   day of its first event.
     orders  fct_orders #}
{% macro streamed_days(orders) -%}
    select
        cast(first_event_at as date) as order_date,
        coalesce(currency, '(none)') as currency,
        count(*) as orders,
        sum(event_count) as event_count,
        sum(amount) as amount,
        max(load_id) as load_id
    from {{ orders }}
    where first_event_at < {{ as_of_day() }}
    group by 1, 2
{%- endmacro %}
