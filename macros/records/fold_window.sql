{# Which loads fct_orders has still to fold in, a mapping: those after `after_load_id`
   and up to `to_load_id` (none: all), at most `load_step_records` events, or one load.
   A load without an event is no step: folding it changes no order, so it would stay the
   next one for ever.
   Orders from before `first_load_id` stem from records that were since rebuilt, and do
   not count. #}
{% macro fold_window(records, orders) -%}
    {%- set window = {'after_load_id': folded_load(orders), 'to_load_id': none, 'first_load_id': 0} -%}
    {%- if not execute or load_relation(records) is none -%}{{ return(window) }}{%- endif -%}
    {%- set loads = answers(
        'select max(running) as events, max(case when running between 1 and ' ~ var('load_step_records')
        ~ ' then load_id end) as last_fitting_load, min(case when records > 0 then load_id end) as first_load_with_events, '
        ~ 'max(first_load_id) as first_load_id from ('
        ~ 'select load_id, first_load_id, records, sum(records) over (order by load_id) as running from ('
        ~ 'select load_id, max(first_load_id) as first_load_id, count(case when rejected_reason is null then 1 end) as records'
        ~ ' from ' ~ records ~ ' where load_id > ' ~ window.after_load_id ~ ' group by 1) as loads) as steps'
    )[0] -%}
    {%- if loads.events is not none -%}
        {%- do window.update({'first_load_id': loads.first_load_id | int}) -%}
        {%- if loads.events > var('load_step_records') -%}
            {%- do window.update({'to_load_id': (loads.last_fitting_load or loads.first_load_with_events) | int}) -%}
        {%- endif -%}
    {%- endif -%}
    {{ return(window) }}
{%- endmacro %}
