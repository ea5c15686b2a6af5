{# What this run of a batch model has to do, a mapping:
     days     the oldest `batch_days` of its differing days, in order, as ISO text. The
              next run goes on with the others, so that memory and time are bounded.
     load_id  the last load that fct_orders holds: later events are left to a later
              run, as the stream does not count them either
   Each model asks for itself, so that one catches up where a run ended after the other. #}
{% macro days_to_rebuild(daily) -%}
    {%- set orders = load_relation(ref('fct_orders')) -%}
    {%- if not execute or orders is none -%}{{ return({'days': [], 'load_id': 0}) }}{%- endif -%}
    {#- One statement: both are of one state of the stream. Without such a day it has one row. -#}
    {%- set found = answers(
        'select newest.load_id as newest_load_id, days.order_date from (select max(load_id) as load_id from ' ~ orders
        ~ ') as newest left join (' ~ differing_days(daily) ~ ') as days on 1 = 1 order by days.order_date'
    ) -%}
    {%- set days = found | map(attribute='order_date') | reject('none') | map('string') | list -%}
    {%- set now = days[:var('batch_days')] -%}
    {%- if days | length > now | length -%}
        {{ log(
            model.name ~ ': ' ~ now | length ~ ' of ' ~ days | length ~ ' days to rebuild, those up to ' ~ now | last
            ~ '; the next run goes on', info=true
        ) }}
    {%- endif -%}
    {{ return({'days': now, 'load_id': found[0].newest_load_id | int(0)}) }}
{%- endmacro %}
