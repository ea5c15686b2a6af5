{# Lands what `generated_order_events` has pushed by `to_ms`, in the shape that
   the connector writes, each redelivered record twice. #}
{% macro land_order_events(to_ms) -%}
    {%- set payload = {
        'event_id': 'event_id', 'event_type': 'event_type', 'event_ts': 'event_ts', 'order_id': 'order_id',
        'customer_id': 'customer_id', 'amount': 'amount', 'currency': 'currency',
    } -%}
    insert into {{ landing_table('order_events') }} (
        record_metadata, {{ 'record_content' if var('payload_layout') == 'record_content' else payload.keys() | join(', ') }}
    )
    with

    deliveries as (

        select *, push_time_ms as delivered_ms from generated_order_events
        union all
        select *, push_time_ms + 10000 as delivered_ms from generated_order_events where is_redelivered

    ),

    records as (

        select
            *,
            {{ iso_timestamp('event_ms') }} as event_ts
        from deliveries
        where delivered_ms <= {{ to_ms }}

    )

    select
        {{ variant_object({
            'topic': 'topic', 'partition': 'partition', 'offset': 'kafka_offset', 'CreateTime': 'create_time_ms',
            'key': 'order_id', 'headers': variant_object({'source': "'checkout'"}),
            'SnowflakeConnectorPushTime': 'delivered_ms',
        }) }},
        {% if var('payload_layout') == 'record_content' -%}
        case kind
            when 'valid' then {{ variant_object(payload) }}
            when 'bad_amount' then {{ variant_object(dict(payload, amount="'n/a'")) }}
            when 'no_order_id' then {{ variant_object(dict(payload, order_id='cast(null as varchar)')) }}
        end
        {%- else -%}
        {% for field in payload -%}
        case when kind = 'valid'{{ " or kind = 'no_order_id'" if field != 'order_id' }} then {{ field }} end{{ ',' if not loop.last }}
        {% endfor -%}
        {%- endif %}
    from records
    {% if var('payload_layout') != 'record_content' -%}
    -- What does not fit its column goes to the connector's error table: the offset stays empty.
    where kind <> 'bad_amount'
    {% endif -%}
    order by delivered_ms, partition, kafka_offset
{%- endmacro %}
