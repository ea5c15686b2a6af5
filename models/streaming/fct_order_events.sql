with

records as (

    select * from {{ ref('order_event_records') }}

),

fct_order_events as (

    select
        record_id,
        topic,
        partition,
        kafka_offset,
        event_id,
        event_type,
        event_at,
        order_id,
        customer_id,
        amount,
        currency,
        created_at,
        pushed_at,
        landed_at,
        loaded_at,
        load_id
    from records
    where rejected_reason is null

)

select * from fct_order_events
