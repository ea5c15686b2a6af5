{# Every order of some days, computed from its events and not from fct_orders, by the
   same definition: order_date, customer_id, order_status, amount, currency,
   event_count, load_id. Only events from the oldest day on are read, and only those of
   orders that have one on the days are kept. fct_orders merely tells which orders began
   before all that.
     rebuild  what days_to_rebuild says; without days nothing is read #}
{% macro recomputed_orders(rebuild) -%}
    {%- set days = "cast('" ~ rebuild.days | join("' as date), cast('") ~ "' as date)" -%}
    {%- set from_at = timestamp_literal(rebuild.days[0]) if rebuild.days else none -%}
    {%- set since -%}
        {{ 'event_at >= ' ~ from_at ~ ' and load_id <= ' ~ rebuild.load_id if rebuild.days else '1 = 0' }}
    {%- endset -%}
    with

    -- Chosen first: DuckDB would otherwise build its hash table of all the events.
    candidates as (

        select order_id
        from {{ ref('fct_order_events') }}
        where {{ since }} {{ 'and cast(event_at as date) in (' ~ days ~ ')' if rebuild.days }}
        except
        select order_id
        from {{ ref('fct_orders') }}
        where {{ 'first_event_at < ' ~ from_at ~ ' and last_event_at >= ' ~ from_at if rebuild.days else '1 = 0' }}

    ),

    ranked_events as (

        select
            events.order_id,
            events.customer_id,
            events.event_type,
            events.event_at,
            events.amount,
            -- max_by would pass over NULL.
            coalesce(events.currency, '(none)') as currency,
            events.load_id,
            row_number() over (
                partition by events.order_id
                order by events.event_at, events.kafka_offset nulls first, events.record_id
            ) as event_rank
        from {{ ref('fct_order_events') }} as events
        inner join candidates on events.order_id = candidates.order_id
        where {{ since }}

    ),

    recomputed_orders as (

        select
            order_id,
            cast(min(event_at) as date) as order_date,
            max_by(event_type, event_rank) as latest_event_type,
            max_by(customer_id, case when customer_id is not null then event_rank end) as customer_id,
            max_by(amount, case when amount is not null then event_rank end) as amount,
            max_by(currency, case when amount is not null then event_rank end) as currency,
            count(*) as event_count,
            max(load_id) as load_id
        from ranked_events
        group by order_id

    )

    select
        order_date,
        coalesce(customer_id, '(none)') as customer_id,
        {{ order_status('latest_event_type') }} as order_status,
        amount,
        coalesce(currency, '(none)') as currency,
        event_count,
        load_id
    from recomputed_orders
    where {{ 'order_date in (' ~ days ~ ')' if rebuild.days else '1 = 0' }}
{%- endmacro %}
