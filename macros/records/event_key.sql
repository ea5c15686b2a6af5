{# Sorts the events of an order as text: by event time, then by offset (none comes
   first), then by the record's identity, so that no two are equal. #}
{% macro event_key() -%}
    lpad(cast({{ epoch_us('event_at') }} as varchar), 18, '0')
    || coalesce(lpad(cast(kafka_offset as varchar), 19, '0'), '-') || '/' || record_id
{%- endmacro %}
