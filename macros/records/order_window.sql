{# What fct_orders has still to fold in: `load_id`, the last load that it holds,
   and `from_at`, the first event of any order that newer loads touch, so that
   the scan of the events is bounded. Everything, if the events were rebuilt and
   count their loads anew. #}
{% macro order_window(events, orders) -%}
    {%- set everything = {'load_id': 0, 'from_at': modules.datetime.datetime(1, 1, 1)} -%}
    {%- if not execute or orders is none -%}{{ return(everything) }}{%- endif -%}
    {%- set loads = run_query(
        'select (select max(load_id) from ' ~ events ~ '), (select max(load_id) from ' ~ orders ~ ')'
    ).rows[0] -%}
    {%- if loads[0] is none or loads[1] is none or loads[0] < loads[1] -%}{{ return(everything) }}{%- endif -%}
    {%- set first_event_at = run_query(
        'select least(min(new.event_at), min(coalesce(orders.first_event_at, new.event_at))) from ('
        ~ 'select order_id, min(event_at) as event_at from ' ~ events
        ~ ' where load_id > ' ~ loads[1] | int ~ ' group by order_id) as new left join '
        ~ orders ~ ' as orders on orders.order_id = new.order_id'
    ).rows[0][0] -%}
    {{ return({'load_id': loads[1] | int, 'from_at': first_event_at or everything.from_at}) }}
{%- endmacro %}
