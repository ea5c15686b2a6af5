{%- set sides = ['fct_orders', 'orders_daily', 'customers_daily'] -%}

with

fct_orders as (

    select
        *,
        cast(null as bigint) as built_load_id
    from ({{ streamed_days(ref('fct_orders')) }}) as streamed

),

orders_daily as (

    {{ stored_days(ref('orders_daily')) }}

),

customers_daily as (

    {{ stored_days(ref('customers_daily')) }}

),

sides as (
    {% for side in sides %}
    select
        '{{ side }}' as side,
        order_date,
        currency,
        orders,
        event_count,
        amount,
        load_id,
        built_load_id
    from {{ side }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

figures as (

    select
        order_date,
        currency
        {%- for side in sides %}
        {%- for figure in ['orders', 'event_count', 'amount', 'load_id', 'built_load_id'] %},
        max(case when side = '{{ side }}' then {{ figure }} end) as {{ side }}_{{ figure }}
        {%- endfor %}
        {%- endfor %}
    from sides
    group by 1, 2

),

-- Days are built oldest first: when a later day was built, this one was looked at too.
days as (

    select
        order_date,
        coalesce(sum(fct_orders_orders), 0) as streamed_orders,
        coalesce(max(fct_orders_load_id), 0) as streamed_load_id,
        {%- for side in sides[1:] %}
        coalesce(sum({{ side }}_orders), 0) as {{ side }}_orders,
        coalesce(max(max({{ side }}_built_load_id)) over (
            order by order_date desc rows unbounded preceding
        ), 0) as {{ side }}_load_id,
        {%- endfor %}
        (select max(orders.load_id) from {{ ref('fct_orders') }} as orders) as newest_load_id
    from figures
    group by 1

),

-- An order that moved to an earlier day leaves fewer behind, and no newer load.
judged_days as (

    select
        order_date,
        {%- for side in sides[1:] %}
        (
            streamed_load_id > {{ side }}_load_id
            or (streamed_orders < {{ side }}_orders and newest_load_id > {{ side }}_load_id)
        ) as {{ side }}_awaits_rebuild{{ ',' if not loop.last }}
        {%- endfor %}
    from days

),

comparisons as (

    select
        figures.order_date,
        figures.currency,
        'orders_daily' as found_in,
        'fct_orders' as expected_in,
        figures.fct_orders_orders as expected_orders,
        figures.orders_daily_orders as orders,
        figures.fct_orders_event_count as expected_event_count,
        figures.orders_daily_event_count as event_count,
        figures.fct_orders_amount as expected_amount,
        figures.orders_daily_amount as amount,
        judged_days.orders_daily_awaits_rebuild as awaits_rebuild
    from figures
    inner join judged_days on figures.order_date = judged_days.order_date
    union all
    select
        figures.order_date,
        figures.currency,
        'customers_daily' as found_in,
        'orders_daily' as expected_in,
        figures.orders_daily_orders as expected_orders,
        figures.customers_daily_orders as orders,
        figures.orders_daily_event_count as expected_event_count,
        figures.customers_daily_event_count as event_count,
        figures.orders_daily_amount as expected_amount,
        figures.customers_daily_amount as amount,
        judged_days.orders_daily_awaits_rebuild or judged_days.customers_daily_awaits_rebuild as awaits_rebuild
    from figures
    inner join judged_days on figures.order_date = judged_days.order_date

),

daily_reconciliation as (

    select
        order_date,
        currency,
        found_in,
        expected_in,
        cast(orders as bigint) as orders,
        cast(expected_orders as bigint) as expected_orders,
        cast(event_count as bigint) as event_count,
        cast(expected_event_count as bigint) as expected_event_count,
        cast(amount as decimal(38, 2)) as amount,
        cast(expected_amount as decimal(38, 2)) as expected_amount,
        (
            orders is not distinct from expected_orders
            and event_count is not distinct from expected_event_count
            and amount is not distinct from expected_amount
        ) as is_reconciled,
        awaits_rebuild
    from comparisons
    -- A row that neither side has is none.
    where orders is not null or expected_orders is not null

)

select * from daily_reconciliation
