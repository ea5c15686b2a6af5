{# Why a record cannot be an order event, NULL where it can. Unknown event types
   and currencies are data, not errors: they are kept. Version 3 of the connector
   writes `{}` for a tombstone, version 4 NULL. #}
{% macro rejected_reason() -%}
    case
        when
            order_id is null and event_type is null and event_id is null
            and coalesce({{ variant_to_json('record_content') }}, 'null') in ('null', '{}')
            then 'tombstone'
        when order_id is null then 'missing_order_id'
        when event_type is null then 'missing_event_type'
        when event_at is null then 'invalid_event_ts'
        when amount is null and amount_kind is not null then 'invalid_amount'
    end
{%- endmacro %}
