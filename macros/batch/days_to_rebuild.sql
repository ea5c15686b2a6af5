{# What this run of a batch model has to do, a mapping:
     days     the oldest `batch_days` of its differing days, in order, as ISO text. The
              next run goes on with the others, so that memory and time are bounded.
     load_id  the last load that fct_orders holds: later events are left to a later
              run, as the stream does not count them either
   Each model asks for itself, so that one catches up where a run ended after the other. #}
{% macro days_to_rebuild(daily) -%}
    {%- set orders = load_relation(ref('fct_orders')) -%}
    {%- if not execute or orders is none -%}{{ return({'days': [], 'load_id': 0}) }}{%- endif -%}
    {#- The load first: what the stream adds between the two queries then differs still. -#}
    {%- set load_id = run_query('select max(load_id) from ' ~ orders).rows[0][0] -%}
    {%- set days = run_query(
        'select order_date from (' ~ differing_days(daily) ~ ') as days order by order_date'
    ).columns[0].values() | map('string') | list -%}
    {%- set now = days[:var('batch_days')] -%}
    {%- if days | length > now | length -%}
        {{ log(
            model.name ~ ': ' ~ now | length ~ ' of ' ~ days | length ~ ' days to rebuild, those up to ' ~ now | last
            ~ '; the next run goes on', info=true
        ) }}
    {%- endif -%}
    {{ return({'days': now, 'load_id': load_id | int(0)}) }}
{%- endmacro %}
