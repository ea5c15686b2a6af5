{%- set loaded = this if is_incremental() else none -%}
{%- set window = load_window(loaded) -%}

with

landed as (

    {{ landed_since(epoch_ms(window.from_at)) }}

),

loaded as (

    {{ loaded_records(loaded, window.from_at) }}

),

-- The reason comes first: only a rejected record drags its whole content along.
judged as (

    select
        *,
        {{ rejected_reason() }} as rejected_reason
    from landed
    where not exists (select 1 from loaded where loaded.record_id = landed.record_id)

),

order_event_records as (

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
        coalesce(landed_at, {{ as_of() }}) as landed_at,
        coalesce({{ record_time_column() }} between 0 and {{ last_epoch_ms() }}, false) as is_dated,
        {{ as_of() }} as loaded_at,
        cast({{ window.load_id + 1 }} as bigint) as load_id,
        rejected_reason,
        case when rejected_reason is not null then record_metadata end as rejected_metadata,
        case when rejected_reason is not null then record_content end as rejected_content
    from judged

)

-- In the order of arrival, so that later scans of a span of time can skip files.
select * from order_event_records
qualify row_number() over (partition by record_id order by landed_at) = 1
order by landed_at
