{%- set orders = this if is_incremental() else none -%}
{%- set window = fold_window(ref('order_event_records'), orders) -%}

with

new_events as (

    select
        *,
        {{ event_key() }} as event_key
    from {{ ref('fct_order_events') }}
    where
        load_id > {{ window.after_load_id }}
        {% if window.to_load_id is not none %}and load_id <= {{ window.to_load_id }}{% endif %}

),

{% if orders is not none -%}
changed_orders as (

    select distinct order_id from new_events

),

-- What the orders hold from loads that were since rebuilt comes again.
known_orders as (

    select orders.*
    from {{ orders }} as orders
    inner join changed_orders on orders.order_id = changed_orders.order_id
    where orders.load_id >= {{ window.first_load_id }}

),
{%- endif %}

-- One event is the piece of an order, and so is what is known of it already:
-- pieces fold into one, in whatever order they come, without reading old events.
pieces as (

    select
        new_events.order_id,
        new_events.customer_id,
        new_events.event_type as latest_event_type,
        new_events.amount,
        new_events.currency,
        1 as event_count,
        new_events.event_at as first_event_at,
        new_events.event_at as last_event_at,
        new_events.topic,
        new_events.partition,
        new_events.kafka_offset as latest_offset,
        new_events.loaded_at,
        new_events.load_id,
        new_events.event_key as latest_event_key,
        case when new_events.amount is not null then new_events.event_key end as amount_event_key,
        case when new_events.customer_id is not null then new_events.event_key end as customer_event_key
    from new_events
    {% if orders is not none -%}
    -- A load is in an order or it is not: a run that is repeated adds nothing.
    left join known_orders on new_events.order_id = known_orders.order_id
    where new_events.load_id > coalesce(known_orders.load_id, 0)
    union all
    select
        order_id,
        customer_id,
        latest_event_type,
        amount,
        currency,
        event_count,
        first_event_at,
        last_event_at,
        topic,
        partition,
        latest_offset,
        loaded_at,
        load_id,
        latest_event_key,
        amount_event_key,
        customer_event_key
    from known_orders
    {%- endif %}

),

fct_orders as (

    select
        order_id,
        {{ value_at_max('customer_id', 'customer_event_key') }} as customer_id,
        {{ value_at_max('latest_event_type', 'latest_event_key') }} as latest_event_type,
        {{ value_at_max('amount', 'amount_event_key') }} as amount,
        {{ value_at_max('currency', 'amount_event_key') }} as currency,
        cast(sum(event_count) as bigint) as event_count,
        min(first_event_at) as first_event_at,
        max(last_event_at) as last_event_at,
        {{ value_at_max('topic', 'latest_event_key') }} as topic,
        {{ value_at_max('partition', 'latest_event_key') }} as partition,
        {{ value_at_max('latest_offset', 'latest_event_key') }} as latest_offset,
        max(loaded_at) as loaded_at,
        max(load_id) as load_id,
        max(latest_event_key) as latest_event_key,
        max(amount_event_key) as amount_event_key,
        max(customer_event_key) as customer_event_key
    from pieces
    group by order_id

)

select
    order_id,
    customer_id,
    latest_event_type,
    {{ order_status('latest_event_type') }} as order_status,
    amount,
    currency,
    event_count,
    first_event_at,
    last_event_at,
    topic,
    partition,
    latest_offset,
    loaded_at,
    load_id,
    latest_event_key,
    amount_event_key,
    customer_event_key
from fct_orders
-- Orders of one time together: where their identifiers grow, a lookup skips the rest.
order by first_event_at
