{# The first bucket to count again: the newest one that is not in the future,
   less `late_arrival_minutes`, on the minute, as a datetime. #}
{% macro bucket_window(buckets) -%}
    {%- set everything = modules.datetime.datetime(1970, 1, 1) -%}
    {%- if not execute or buckets is none -%}{{ return(everything) }}{%- endif -%}
    {%- set newest = run_query(
        'select max(bucket_start) from ' ~ buckets ~ ' where bucket_start <= ' ~ as_of()
    ).rows[0][0] -%}
    {{ return(
        newest - modules.datetime.timedelta(minutes=var('late_arrival_minutes')) if newest else everything
    ) }}
{%- endmacro %}
