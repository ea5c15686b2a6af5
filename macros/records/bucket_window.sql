{# The minutes to count again, a mapping of `from_ms` and `to_ms` (none: no end) on
   the minute: from the newest bucket without a record of the future when it was counted, less
   `late_arrival_minutes`; or the minutes of a backfill, as far as they were counted. #}
{% macro bucket_window(buckets) -%}
    {%- if not execute or buckets is none -%}{{ return({'from_ms': 0, 'to_ms': none}) }}{%- endif -%}
    {%- set newest = answers(
        'select max(bucket_start) as newest_bucket from ' ~ buckets ~ ' where is_dated and last_landed_at <= counted_at'
    )[0].newest_bucket -%}
    {%- set newest_ms = epoch_ms(newest) if newest else 0 -%}
    {%- if var('backfill_from') -%}
        {%- set minutes_to = epoch_ms(instant(var('backfill_to'), 'backfill_to')) // 60000 + 1 -%}
        {{ return({
            'from_ms': epoch_ms(instant(var('backfill_from'), 'backfill_from')) // 60000 * 60000,
            'to_ms': [minutes_to * 60000, newest_ms + 60000] | min,
        }) }}
    {%- endif -%}
    {{ return({'from_ms': [newest_ms - var('late_arrival_minutes') * 60000, 0] | max, 'to_ms': none}) }}
{%- endmacro %}
