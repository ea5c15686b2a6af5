{# Where the load of `records` (the order_event_records relation) goes on, a mapping:
     load_id        the last load's number, 0 if there is none
     first_load_id  the first load since `records` was last rebuilt, none if there is none
     newest_ms      the newest arrival of all loads, -1 if there is none. A record dated
                    after its own load has a wrong clock and does not count.
     from_ms        what arrived from here on is read: `late_arrival_minutes` before that
     to_ms          ... and up to here, so that a run loads at most `load_step_records`
                    records (or one minute's) and its memory is bounded; none for all
     arrived        number of copies that arrived after `newest_ms`
   With `backfill_from` and `backfill_to` these are the window. #}
{% macro load_window(records) -%}
    {%- set window = {
        'load_id': 0, 'first_load_id': none, 'from_ms': 0, 'newest_ms': -1, 'to_ms': none, 'arrived': 0
    } -%}
    {%- if not execute or load_relation(ref('stg_streaming__order_events')) is none -%}
        {{ return(window) }}
    {%- endif -%}
    {%- set newest = none -%}
    {%- if records is not none -%}
        {%- set newest = newest_load(records, 'landed_at', {
            'first_load_id': 'max(first_load_id)',
            'landed_at': 'max(case when is_dated and landed_at <= loaded_at then landed_at end)',
        }) -%}
    {%- endif -%}
    {%- if newest is not none -%}
        {%- do window.update({'load_id': newest.load_id, 'first_load_id': newest.first_load_id | int}) -%}
        {%- if newest.landed_at is not none -%}
            {%- set newest_ms = epoch_ms(newest.landed_at) -%}
            {%- do window.update({
                'newest_ms': newest_ms, 'from_ms': [newest_ms - var('late_arrival_minutes') * 60000, 0] | max
            }) -%}
        {%- endif -%}
    {%- endif -%}
    {%- if var('backfill_from') -%}
        {%- do window.update({
            'from_ms': epoch_ms(instant(var('backfill_from'), 'backfill_from')),
            'to_ms': epoch_ms(instant(var('backfill_to'), 'backfill_to')),
        }) -%}
    {%- endif -%}
    {%- set key = record_time_column() -%}
    {%- set arrivals = run_query(
        'select max(running), max(case when running <= ' ~ var('load_step_records') ~ ' then minute end), '
        ~ 'min(case when records > 0 then minute end) from ('
        ~ 'select minute, records, sum(records) over (order by minute) as running from ('
        ~ 'select cast(floor(case when ' ~ key ~ ' between 0 and ' ~ last_epoch_ms() ~ ' then ' ~ key ~ ' end / 60000) as bigint)'
        ~ ' as minute, count(case when ' ~ key ~ ' between ' ~ (window.newest_ms + 1) ~ ' and ' ~ last_epoch_ms()
        ~ ' then 1 end) as records from ('
        ~ landed_since(window.from_ms, window.to_ms, undated=window.to_ms is none) ~ ') as landed group by 1'
        ~ ') as minutes) as steps'
    ).rows[0] -%}
    {%- if arrivals[0] is not none -%}
        {%- do window.update({'arrived': arrivals[0] | int}) -%}
        {%- if window.to_ms is none and arrivals[0] > var('load_step_records') -%}
            {%- do window.update({
                'to_ms': ([arrivals[1] if arrivals[1] is not none else 0, arrivals[2]] | max | int + 1) * 60000
            }) -%}
        {%- endif -%}
    {%- endif -%}
    {{ return(window) }}
{%- endmacro %}
