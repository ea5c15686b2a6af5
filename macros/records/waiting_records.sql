{# What the scheduler asks before it runs the transform: pending_records(), and `token`,
   the content_token of what it is counted from. While that is `settled`, the one of a
   time when nothing was pending, nothing is: then no table is read. #}
{% macro waiting_records() -%}
    {%- set settled = var('settled', none) -%}
    {%- set token = none -%}
    {#- Once settled, the tables are known to be there. -#}
    {%- if execute and (settled is not none or load_relation(ref('fct_orders')) is not none) -%}
        {#- Before the count: what comes meanwhile has another token. -#}
        {%- set token = content_token([landing_table('order_events'), ref('order_event_records'), ref('fct_orders')]) -%}
    {%- endif -%}
    {%- if token is not none and token | string == settled -%}
    select 0 as pending, false as is_partial, {{ sql_string(token) }} as token
    {%- else -%}
    select
        pending,
        is_partial,
        {{ 'cast(null as varchar)' if token is none else sql_string(token) }} as token
    from ({{ pending_records() }}) as waiting
    {%- endif -%}
{%- endmacro %}
