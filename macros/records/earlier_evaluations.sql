{# A model that is downstream of the marks, and so cannot be had by ref(): what earlier
   ticks evaluated. None before it was first built. A mark is done when its metrics, the
   last model of a tick, are there. #}
{% macro earlier_evaluations(marks, model) -%}
    {%- if not execute -%}{{ return(none) }}{%- endif -%}
    {{ return(load_relation(marks.incorporate(path={'identifier': model}))) }}
{%- endmacro %}
