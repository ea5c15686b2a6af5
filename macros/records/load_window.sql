{# Where the load of `records` (the order_event_records relation) goes on, a mapping:
     load_id        the last load's number, 0 if there is none
     first_load_id  the first load since `records` was last rebuilt, none if there is none
     newest_ms      the newest arrival of all loads, -1 if there is none. A record dated
                    after its own load has a wrong clock and does not count.
     from_ms        what arrived from here on is read: `late_arrival_minutes` before that
     to_ms          ... and up to here, so that a run loads at most `load_step_records`
                    records (or one minute's) and its memory is bounded; none for all
     arrived        number of copies that arrived after `newest_ms`
   Without `with_step` what arrived is not looked at: only a backfill has a `to_ms` then.
   With `backfill_from` and `backfill_to` these are the window, as far as the loads have
   come: what is newer is theirs, and would else move them past what is not loaded yet. #}
{% macro load_window(records, with_step=true) -%}
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
            'newest_landed_at': 'max(case when is_dated and landed_at <= loaded_at then landed_at end)',
        }) -%}
    {%- endif -%}
    {%- if newest is not none -%}
        {%- do window.update({'load_id': newest.load_id, 'first_load_id': newest.first_load_id | int}) -%}
        {%- if newest.newest_landed_at is not none -%}
            {%- set newest_ms = epoch_ms(newest.newest_landed_at) -%}
            {%- do window.update({
                'newest_ms': newest_ms, 'from_ms': [newest_ms - var('late_arrival_minutes') * 60000, 0] | max
            }) -%}
        {%- endif -%}
    {%- endif -%}
    {%- if var('backfill_from') -%}
        {%- do window.update({
            'from_ms': epoch_ms(instant(var('backfill_from'), 'backfill_from')),
            'to_ms': [epoch_ms(instant(var('backfill_to'), 'backfill_to')), window.newest_ms + 1] | min,
        }) -%}
    {%- endif -%}
    {%- if not with_step -%}{{ return(window) }}{%- endif -%}
    {%- set landed = landed_since(window.from_ms, window.to_ms, undated=window.to_ms is none) -%}
    {%- set arrivals = answers(arrivals_by_step(landed, window.newest_ms))[0] -%}
    {%- if window.to_ms is none -%}
        {%- do window.update({'to_ms': step_end(arrivals)}) -%}
        {#- A step of copies alone would be the next one for ever: then they are left out.
            Mostly a few records show that it is none. -#}
        {%- if window.to_ms is not none and records is not none -%}
            {%- set step = landed_since(window.from_ms, window.to_ms, undated=false) -%}
            {%- if not has_unloaded(records, step ~ ' limit 1000') and not has_unloaded(records, step) -%}
                {%- set arrivals = answers(arrivals_by_step(unloaded_records(records, landed), window.newest_ms))[0] -%}
                {%- do window.update({'to_ms': step_end(arrivals)}) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endif -%}
    {%- do window.update({'arrived': (arrivals.arrived or 0) | int}) -%}
    {{ return(window) }}
{%- endmacro %}
