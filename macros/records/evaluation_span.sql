{# The first and the last mark that this run evaluates, naive UTC datetimes: literals
   for predicates that must prune. #}
{% macro evaluation_span(marks) -%}
    {%- set span = run_query('select min(evaluated_at), max(evaluated_at) from ' ~ marks).rows[0]
        if execute and load_relation(marks) else [none, none] -%}
    {{ return({'first': span[0] or as_of_instant(), 'last': span[1] or as_of_instant()}) }}
{%- endmacro %}
