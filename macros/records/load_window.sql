{# Where the load of `records` (the order_event_records relation) goes on:
   `load_id`, the last load's number, and `from_at`, a datetime: the newest
   arrival of that load, less `late_arrival_minutes`. A record dated after its
   own load has a wrong clock and must not move the window. Only the last load
   is read, so the cost does not grow with the table. #}
{% macro load_window(records) -%}
    {%- set nothing = {'load_id': 0, 'from_at': modules.datetime.datetime(1970, 1, 1)} -%}
    {%- if not execute or records is none -%}{{ return(nothing) }}{%- endif -%}
    {#- Two queries: a load_id that comes from a subquery prunes nothing on Snowflake. -#}
    {%- set load_id = run_query('select max(load_id) from ' ~ records).rows[0][0] -%}
    {%- if load_id is none -%}{{ return(nothing) }}{%- endif -%}
    {%- set newest = run_query(
        'select coalesce(max(case when landed_at <= loaded_at then landed_at end), max(loaded_at)) from '
        ~ records ~ ' where load_id = ' ~ load_id | int
    ).rows[0][0] -%}
    {{ return({
        'load_id': load_id | int,
        'from_at': newest - modules.datetime.timedelta(minutes=var('late_arrival_minutes')),
    }) }}
{%- endmacro %}
