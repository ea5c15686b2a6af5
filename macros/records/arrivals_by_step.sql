{# One row about `landed`, a query of landed records: how many arrived after `newest_ms`,
   the last minute up to which they fit a step, and the first minute that has any. #}
{% macro arrivals_by_step(landed, newest_ms) -%}
    {%- set key = record_time_column() -%}
    select
        max(running) as arrived,
        max(case when running <= {{ var('load_step_records') }} then minute end) as last_minute,
        min(case when records > 0 then minute end) as first_minute
    from (
        select
            minute,
            records,
            sum(records) over (order by minute) as running
        from (
            select
                cast(floor(case when {{ key }} between 0 and {{ last_epoch_ms() }} then {{ key }} end / cast(60000 as double)) as bigint) as minute,
                count(case when {{ key }} between {{ newest_ms + 1 }} and {{ last_epoch_ms() }} then 1 end) as records
            from ({{ landed }}) as landed
            group by 1
        ) as minutes
    ) as steps
{%- endmacro %}
