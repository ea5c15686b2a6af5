{# The history of evaluations is streaming_metrics, the last model of a tick: a
   mark is done when its metrics are there. No ref(), for that model is downstream
   of the marks; none before it was first built. #}
{% macro evaluation_history(marks) -%}
    {%- if not execute -%}{{ return(none) }}{%- endif -%}
    {{ return(load_relation(marks.incorporate(path={'identifier': 'streaming_metrics'}))) }}
{%- endmacro %}
