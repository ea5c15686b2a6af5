{# A record's identity: topic, partition, offset and its create time, so that a
   re-created topic is not taken for a replay. Where the connector writes no
   offset, the payload's own event_id has to do, and after it the payload. #}
{% macro record_id(topic, partition, kafka_offset, create_time_ms, append_time_ms, event_id) -%}
    case
        when {{ kafka_offset }} is not null then
            coalesce({{ topic }}, '') || '/' || coalesce(({{ partition }})::varchar, '') || '/'
            || ({{ kafka_offset }})::varchar || '@'
            || coalesce(coalesce({{ create_time_ms }}, {{ append_time_ms }})::varchar, '')
        when {{ event_id }} is not null then 'event/' || {{ event_id }}
        else 'content/' || md5(
            coalesce({{ variant_to_json('record_metadata') }}, '') || coalesce({{ variant_to_json('record_content') }}, '')
        )
    end
{%- endmacro %}
