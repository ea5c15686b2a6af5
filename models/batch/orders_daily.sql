{%- set rebuild = days_to_rebuild(this if is_incremental() else none) -%}

with

orders as (

    {{ recomputed_orders(rebuild) }}

),

currencies as (

    select * from {{ ref('currencies') }}

),

totals as (

    select
        order_date,
        currency,
        count(*) as orders,
        {%- for status in ['created', 'paid', 'shipped', 'delivered', 'cancelled', 'unknown'] %}
        count(case when order_status = '{{ status }}' then 1 end) as {{ status }}_orders,
        {%- endfor %}
        sum(event_count) as event_count,
        sum(amount) as amount,
        sum(case when order_status = 'cancelled' then amount end) as cancelled_amount,
        max(load_id) as load_id
    from orders
    group by 1, 2

),

orders_daily as (

    select
        totals.order_date,
        totals.currency,
        case
            when totals.currency = '(none)' then '(none)'
            else coalesce(currencies.name, '(unknown)')
        end as currency_name,
        currencies.currency is not null as is_known_currency,
        cast(totals.orders as bigint) as orders,
        {%- for status in ['created', 'paid', 'shipped', 'delivered', 'cancelled', 'unknown'] %}
        cast(totals.{{ status }}_orders as bigint) as {{ status }}_orders,
        {%- endfor %}
        cast(totals.event_count as bigint) as event_count,
        cast(totals.amount as decimal(38, 2)) as amount,
        cast(
            case when totals.cancelled_orders = 0 then 0 else totals.cancelled_amount end as decimal(38, 2)
        ) as cancelled_amount,
        totals.load_id,
        cast({{ rebuild.load_id }} as bigint) as built_load_id
    from totals
    left join currencies on totals.currency = currencies.currency

)

select * from orders_daily
