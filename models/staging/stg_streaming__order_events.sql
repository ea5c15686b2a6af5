{#- One flat SELECT straight from the table, each expression spelled out on the
    landed VARIANT: DuckDB prunes through that. With a CTE between, or a column
    computed from another, it reads the whole table. A field costs it little unless the
    same scan needs the whole VARIANT too: record_content, unknown_fields, record_id. -#}
{#- A connector that writes a column per field adds columns: each run looks for them. -#}
{{- config(tags=['streaming'] if var('payload_layout') == 'columns' else []) -}}
{%- set push_time_ms = "record_metadata['SnowflakeConnectorPushTime']::bigint" -%}
{%- set create_time_ms = "record_metadata['CreateTime']::bigint" -%}
{%- set append_time_ms = "record_metadata['LogAppendTime']::bigint" -%}
{%- set topic = "record_metadata['topic']::varchar" -%}
{%- set partition = variant_to_integer("record_metadata['partition']", 'integer') -%}
{%- set kafka_offset = variant_to_integer("record_metadata['offset']", 'bigint') -%}
{%- set content = payload_object() -%}
{%- set event_id = payload_field('event_id') ~ '::varchar' -%}
{%- set event_ts = payload_field('event_ts') ~ '::varchar' -%}
{%- set identity = [topic, partition, kafka_offset, create_time_ms, append_time_ms, event_id] -%}

select
    {{ topic }} as topic,
    {{ partition }} as partition,
    {{ kafka_offset }} as kafka_offset,
    {{ push_time_ms }} as push_time_ms,
    {{ create_time_ms }} as create_time_ms,
    {{ append_time_ms }} as append_time_ms,
    {{ epoch_ms_to_timestamp(push_time_ms) }} as pushed_at,
    {{ epoch_ms_to_timestamp('coalesce(' ~ create_time_ms ~ ', ' ~ append_time_ms ~ ')') }} as created_at,
    {{ landed_at(push_time_ms, create_time_ms, append_time_ms) }} as landed_at,
    {{ event_id }} as event_id,
    {{ payload_field('event_type') }}::varchar as event_type,
    {{ event_ts }} as event_ts,
    {{ parse_iso_timestamp(event_ts) }} as event_at,
    {{ payload_field('order_id') }}::varchar as order_id,
    {{ payload_field('customer_id') }}::varchar as customer_id,
    try_cast({{ payload_field('amount') }}::varchar as decimal(18, 2)) as amount,
    {{ variant_kind(payload_variant('amount')) }} as amount_kind,
    {{ payload_field('currency') }}::varchar as currency,
    record_metadata,
    {{ content }} as record_content,
    {{ unknown_fields() }} as unknown_fields,
    {{ unexpected_types() }} as unexpected_types,
    {{ record_id(*identity, content=content) }} as record_id,
    {{ record_id(*identity) }} as record_id_without_content
from {{ source('streaming', 'order_events') }}
