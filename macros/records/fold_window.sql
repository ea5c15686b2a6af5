{# Which loads fct_orders has still to fold in, a mapping: those after `after_load_id`
   and up to `to_load_id` (none: all), at most `load_step_records` events, or one load.
   A load without an event is no step: folding it changes no order, so it would stay the
   next one for ever.
   Orders from before `first_load_id` stem from records that were since rebuilt, and do
   not count. #}
{% macro fold_window(records, orders) -%}
    {%- set window = {'after_load_id': folded_load(orders), 'to_load_id': none, 'first_load_id': 0} -%}
    {%- if not execute or load_relation(records) is none -%}{{ return(window) }}{%- endif -%}
    {%- set loads = run_query(
        'select max(running), max(case when running between 1 and ' ~ var('load_step_records') ~ ' then load_id end), '
        ~ 'min(case when records > 0 then load_id end), max(first_load_id) from ('
        ~ 'select load_id, first_load_id, records, sum(records) over (order by load_id) as running from ('
        ~ 'select load_id, max(first_load_id) as first_load_id, count(case when rejected_reason is null then 1 end) as records'
        ~ ' from ' ~ records ~ ' where load_id > ' ~ window.after_load_id ~ ' group by 1) as loads) as steps'
    ).rows[0] -%}
    {%- if loads[0] is not none -%}
        {%- do window.update({'first_load_id': loads[3] | int}) -%}
        {%- if loads[0] > var('load_step_records') -%}
            {%- do window.update({'to_load_id': (loads[1] if loads[1] is not none else loads[2]) | int}) -%}
        {%- endif -%}
    {%- endif -%}
    {{ return(window) }}
{%- endmacro %}
