{# A record's identity: topic, partition, offset and its create time, so that a
   re-created topic is not taken for a replay; without a create time its event_id or
   its content tells them apart. Where the connector writes no offset, the payload's own
   event_id and the create time have to do, and after it the whole record.
   Copies have one identity and one Kafka timestamp: loaded_records relies on it.
     content  none: NULL for what only its content tells apart; the rest is the same #}
{% macro record_id(topic, partition, kafka_offset, create_time_ms, append_time_ms, event_id, content=none) -%}
    case
        when {{ kafka_offset }} is not null then
            coalesce({{ topic }}, '') || '/' || coalesce(({{ partition }})::varchar, '') || '/'
            || ({{ kafka_offset }})::varchar || '@'
            || coalesce(
                coalesce({{ create_time_ms }}, {{ append_time_ms }})::varchar,
                {{ event_id }}
                {%- if content is not none %},
                md5(coalesce({{ variant_to_json(content) }}, ''))
                {%- endif %}
            )
        when {{ event_id }} is not null then
            'event/' || {{ event_id }} || coalesce('@' || coalesce({{ create_time_ms }}, {{ append_time_ms }})::varchar, '')
        {%- if content is not none %}
        else 'content/' || md5(
            coalesce({{ variant_to_json('record_metadata') }}, '') || coalesce({{ variant_to_json(content) }}, '')
        )
        {%- endif %}
    end
{%- endmacro %}
