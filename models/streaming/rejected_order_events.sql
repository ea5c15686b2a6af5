with

records as (

    select * from {{ ref('order_event_records') }}

),

rejected_order_events as (

    select
        record_id,
        topic,
        partition,
        kafka_offset,
        rejected_reason,
        rejected_metadata as record_metadata,
        rejected_content as record_content,
        created_at,
        pushed_at,
        landed_at,
        loaded_at,
        load_id
    from records
    where rejected_reason is not null

)

select * from rejected_order_events
