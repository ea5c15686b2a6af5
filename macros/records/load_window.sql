{# Where the load of `records` (the order_event_records relation) goes on:
   `load_id`, the last load's number, and `from_at`, a datetime: the newest
   arrival of that load, less `late_arrival_minutes`. A record dated after its
   own load has a wrong clock and must not move the window. Only the last load
   is read, so the cost does not grow with the table. #}
{% macro load_window(records) -%}
    {%- set nothing = {'load_id': 0, 'from_at': modules.datetime.datetime(1970, 1, 1)} -%}
    {%- if not execute or records is none -%}{{ return(nothing) }}{%- endif -%}
    {%- set last_load = run_query(
        'select max(load_id), coalesce(max(case when landed_at <= loaded_at then landed_at end), max(loaded_at)) from '
        ~ records ~ ' where load_id = (select max(load_id) from ' ~ records ~ ')'
    ).rows[0] -%}
    {%- if last_load[0] is none -%}{{ return(nothing) }}{%- endif -%}
    {{ return({
        'load_id': last_load[0] | int,
        'from_at': last_load[1] - modules.datetime.timedelta(minutes=var('late_arrival_minutes')),
    }) }}
{%- endmacro %}
