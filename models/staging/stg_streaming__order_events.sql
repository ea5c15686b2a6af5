with

source as (

    select * from {{ source('streaming', 'order_events') }}

),

-- The epoch columns stay bare casts: both engines prune files by them, and
-- neither does once they are wrapped in a function.
typed as (

    select
        record_metadata['topic']::varchar as topic,
        record_metadata['partition']::integer as partition,
        record_metadata['offset']::bigint as kafka_offset,
        record_metadata['SnowflakeConnectorPushTime']::bigint as push_time_ms,
        record_metadata['CreateTime']::bigint as create_time_ms,
        record_metadata['LogAppendTime']::bigint as append_time_ms,
        record_content['event_id']::varchar as event_id,
        record_content['event_type']::varchar as event_type,
        record_content['event_ts']::varchar as event_ts,
        record_content['order_id']::varchar as order_id,
        record_content['customer_id']::varchar as customer_id,
        record_content['amount']::varchar as amount_text,
        record_content['currency']::varchar as currency,
        record_metadata,
        record_content
    from source

),

order_events as (

    select
        *,
        {{ epoch_ms_to_timestamp('push_time_ms') }} as pushed_at,
        {{ epoch_ms_to_timestamp('coalesce(create_time_ms, append_time_ms)') }} as created_at,
        {{ landed_at() }} as landed_at,
        {{ parse_iso_timestamp('event_ts') }} as event_at,
        try_cast(amount_text as decimal(18, 2)) as amount,
        {{ record_id() }} as record_id
    from typed

)

select * from order_events
