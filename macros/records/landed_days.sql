{# The UTC days of arrival from `first` up to `last` (ISO 8601) that have records, one
   row each: `first_at` and `last_at`, ISO 8601 UTC, cut to that span. What a backfill
   goes through. #}
{% macro landed_days(first, last) -%}
    {%- set key = record_time_column() -%}
    {%- set from_ms = epoch_ms(instant(first, 'from')) -%}
    {%- set to_ms = epoch_ms(instant(last, 'to')) -%}
    select
        {{ iso_timestamp('case when day_ms > ' ~ from_ms ~ ' then day_ms else ' ~ from_ms ~ ' end') }} as first_at,
        {{ iso_timestamp('case when day_ms + 86400000 < ' ~ to_ms ~ ' then day_ms + 86400000 else ' ~ to_ms ~ ' end') }} as last_at
    from (
        select {{ key }} - mod({{ key }}, 86400000) as day_ms
        from {{ ref('stg_streaming__order_events') }}
        where {{ key }} >= {{ from_ms }} and {{ key }} < {{ to_ms }}
        group by 1
    ) as days
    order by 1
{%- endmacro %}
