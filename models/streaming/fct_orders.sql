{%- set window = order_window(ref('fct_order_events'), this if is_incremental() else none) -%}

with

order_events as (

    select *
    from {{ ref('fct_order_events') }}
    where event_at >= {{ timestamp_literal(window.from_at) }}

),

changed_orders as (

    select distinct order_id
    from {{ ref('fct_order_events') }}
    where load_id > {{ window.load_id }}

),

-- All events of a changed order are read again, not only the new ones: the
-- result is right whatever an earlier run did or failed to do.
events_of_changed_orders as (

    select order_events.*
    from order_events
    inner join changed_orders on order_events.order_id = changed_orders.order_id

),

totals as (

    select
        order_id,
        count(*) as event_count,
        min(event_at) as first_event_at,
        max(event_at) as last_event_at,
        max(loaded_at) as loaded_at,
        max(load_id) as load_id
    from events_of_changed_orders
    group by order_id

),

latest_events as (

    select *
    from events_of_changed_orders
    qualify row_number() over (
        partition by order_id
        order by event_at desc, kafka_offset desc nulls last, record_id desc
    ) = 1

),

-- An event need not repeat what an earlier one said. A currency belongs to its
-- amount; max_by would pass over one that is NULL.
latest_values as (

    select
        order_id,
        max_by(customer_id, case when customer_id is not null then event_rank end) as customer_id,
        max_by(amount, case when amount is not null then event_rank end) as amount,
        nullif(max_by(coalesce(currency, ''), case when amount is not null then event_rank end), '') as currency
    from (
        select
            *,
            row_number() over (
                partition by order_id
                order by event_at, kafka_offset nulls first, record_id
            ) as event_rank
        from events_of_changed_orders
    ) as ranked_events
    group by order_id

),

fct_orders as (

    select
        latest_events.order_id,
        latest_values.customer_id,
        latest_events.event_type as latest_event_type,
        case latest_events.event_type
            when 'order_created' then 'created'
            when 'order_paid' then 'paid'
            when 'order_shipped' then 'shipped'
            when 'order_delivered' then 'delivered'
            when 'order_cancelled' then 'cancelled'
            else 'unknown'
        end as order_status,
        latest_values.amount,
        latest_values.currency,
        cast(totals.event_count as bigint) as event_count,
        totals.first_event_at,
        totals.last_event_at,
        latest_events.topic,
        latest_events.partition,
        latest_events.kafka_offset as latest_offset,
        totals.loaded_at,
        totals.load_id
    from latest_events
    inner join totals on latest_events.order_id = totals.order_id
    inner join latest_values on latest_events.order_id = latest_values.order_id

)

select * from fct_orders
