{%- set records = this if is_incremental() else none -%}
{%- set window = load_window(records) -%}
{%- set load = next_load(window) -%}
{%- set arrivals = landed_since(window.from_ms, window.to_ms, undated=window.to_ms is none) -%}
{%- set record_id = narrow_record_id(arrivals) -%}

with

-- Fields alone, see narrow_record_id.
landed as (

    select
        {{ record_id }} as record_id,
        topic,
        partition,
        kafka_offset,
        event_id,
        event_type,
        event_at,
        order_id,
        customer_id,
        amount,
        amount_kind,
        currency,
        created_at,
        pushed_at,
        coalesce(landed_at, {{ as_of() }}) as landed_at,
        coalesce({{ record_time_column() }} between 0 and {{ last_epoch_ms() }}, false) as is_dated,
        unexpected_types
    from ({{ arrivals }}) as arrivals

),

{% if records is not none -%}
loaded as (

    {{ loaded_records(records, 'landed') }}

),
{%- endif %}

new_records as (

    select
        *,
        order_id is null or event_type is null or event_at is null
        or (amount is null and amount_kind is not null) as is_rejected
    from landed
    {% if records is not none -%}
    where not exists (select 1 from loaded where loaded.record_id = landed.record_id)
    {%- endif %}
    qualify row_number() over (partition by record_id order by landed_at, pushed_at) = case when record_id is not null then 1 end

),

rejected as (

    select record_id from new_records where is_rejected

),

-- One copy's will do: they say the same. The whole payload of the rejected alone: when a
-- field is new, all records may have an unknown one.
payloads as (

    select
        arrivals.{{ record_id }} as record_id,
        left(arrivals.unknown_fields, 200) as unknown_fields,
        case when rejected.record_id is not null then arrivals.record_metadata end as record_metadata,
        case when rejected.record_id is not null then arrivals.record_content end as record_content
    from ({{ arrivals }}) as arrivals
    left join rejected on arrivals.{{ record_id }} = rejected.record_id
    where arrivals.unknown_fields is not null or rejected.record_id is not null
    qualify row_number() over (partition by arrivals.{{ record_id }} order by arrivals.landed_at) = 1

),

currencies as (

    select currency as known_currency from {{ ref('currencies') }}

),

judged as (

    select
        new_records.*,
        payloads.record_metadata,
        payloads.record_content,
        case when new_records.is_rejected then {{ rejected_reason() }} end as rejected_reason,
        {{ unexpected_payload() }} as unexpected
    from new_records
    left join payloads on new_records.record_id = payloads.record_id
    left join currencies on new_records.currency = currencies.known_currency

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
        landed_at,
        is_dated,
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
order by landed_at
