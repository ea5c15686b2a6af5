{# What the scheduler asks before it runs the transform: pending_records(), and `token`,
   the content_token of what it is counted from. While that is `settled`, the one of a
   time when nothing was pending, nothing is: then no table is read. #}
{% macro waiting_records() -%}
    {%- set token = none -%}
    {%- set records, orders = load_relation(ref('order_event_records')), load_relation(ref('fct_orders')) -%}
    {%- if records is not none and orders is not none -%}
        {#- Before the count: what comes meanwhile has another token. -#}
        {%- set token = content_token([landing_table('order_events'), records, orders]) -%}
    {%- endif -%}
    {%- if token is not none and token | string == var('settled', none) -%}
    select 0 as pending, false as is_partial, {{ sql_string(token) }} as token
    {%- else -%}
    select
        pending,
        is_partial,
        {{ 'cast(null as varchar)' if token is none else sql_string(token) }} as token
    from ({{ pending_records() }}) as waiting
    {%- endif -%}
{%- endmacro %}
