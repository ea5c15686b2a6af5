{# dbt's own, with one word more for a test's `where`: __window_start__, `as_of`
   less `late_arrival_minutes` and the catch-up of an outage. Tests on tables that
   only grow look at what a run can have touched and leave the rest alone. #}
{% macro get_where_subquery(relation) -%}
    {%- set where = config.get('where', '') -%}
    {%- if not where -%}{{ return(relation) }}{%- endif -%}
    {%- set window_start = as_of_instant() - modules.datetime.timedelta(
        hours=var('catch_up_hours'), minutes=var('late_arrival_minutes')
    ) -%}
    {{ return(
        '(select * from ' ~ relation ~ ' where '
        ~ where | replace('__window_start__', timestamp_literal(window_start)) ~ ') as dbt_subquery'
    ) }}
{%- endmacro %}
