{#- After orders_daily, not beside it: each holds the orders of `batch_days` in memory. -#}
{%- do ref('orders_daily') -%}
{%- set rebuild = days_to_rebuild(this if is_incremental() else none) -%}

with

orders as (

    {{ recomputed_orders(rebuild) }}

),

customers as (

    select * from {{ ref('customers') }}

),

totals as (

    select
        order_date,
        customer_id,
        currency,
        count(*) as orders,
        sum(event_count) as event_count,
        sum(amount) as amount,
        max(load_id) as load_id
    from orders
    group by 1, 2, 3

),

customers_daily as (

    select
        totals.order_date,
        totals.customer_id,
        totals.currency,
        {%- for attribute in ['segment', 'country'] %}
        case
            when totals.customer_id = '(none)' then '(none)'
            else coalesce(customers.{{ attribute }}, '(unknown)')
        end as {{ attribute }},
        {%- endfor %}
        cast(totals.orders as bigint) as orders,
        cast(totals.event_count as bigint) as event_count,
        cast(totals.amount as decimal(38, 2)) as amount,
        totals.load_id,
        cast({{ rebuild.load_id }} as bigint) as built_load_id
    from totals
    left join customers on totals.customer_id = customers.customer_id

)

select * from customers_daily
