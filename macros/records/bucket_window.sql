{# The minutes to count again, a mapping of `from_ms` and `to_ms` (none: no end) on
   the minute: from the newest bucket that is not in the future, less
   `late_arrival_minutes`; or the minutes of a backfill. #}
{% macro bucket_window(buckets) -%}
    {%- if not execute or buckets is none -%}{{ return({'from_ms': 0, 'to_ms': none}) }}{%- endif -%}
    {%- if var('backfill_from') -%}
        {{ return({
            'from_ms': epoch_ms(instant(var('backfill_from'), 'backfill_from')) // 60000 * 60000,
            'to_ms': (epoch_ms(instant(var('backfill_to'), 'backfill_to')) // 60000 + 1) * 60000,
        }) }}
    {%- endif -%}
    {%- set newest = run_query(
        'select max(bucket_start) from ' ~ buckets ~ ' where is_dated and bucket_start <= ' ~ as_of()
    ).rows[0][0] -%}
    {{ return({
        'from_ms': [epoch_ms(newest) - var('late_arrival_minutes') * 60000, 0] | max if newest else 0,
        'to_ms': none,
    }) }}
{%- endmacro %}
