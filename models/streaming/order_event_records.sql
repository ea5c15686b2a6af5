{%- set records = this if is_incremental() else none -%}
{%- set window = load_window(records) -%}
{%- set load = next_load(window, this) -%}

with

landed as (

    {{ landed_since(window.from_ms, window.to_ms, undated=window.to_ms is none) }}

),

{% if records is not none -%}
loaded as (

    {{ loaded_records(records, 'landed') }}

),
{%- endif %}

currencies as (

    select currency as known_currency from {{ ref('currencies') }}

),

judged as (

    select
        landed.*,
        {{ rejected_reason() }} as rejected_reason,
        {{ unexpected_payload() }} as unexpected
    from landed
    left join currencies on landed.currency = currencies.known_currency
    {% if records is not none -%}
    where not exists (select 1 from loaded where loaded.record_id = landed.record_id)
    {%- endif %}

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
        cast({{ load.load_id }} as bigint) as load_id,
        cast({{ load.first_load_id }} as bigint) as first_load_id,
        unexpected,
        rejected_reason,
        case when rejected_reason is not null then record_metadata end as rejected_metadata,
        case when rejected_reason is not null then record_content end as rejected_content
    from judged

)

-- In the order of arrival, so that later scans of a span of time can skip files.
select * from order_event_records
qualify row_number() over (partition by record_id order by landed_at) = 1
order by landed_at
