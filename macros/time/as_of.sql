{# The project's only clock. One value for a whole invocation, so that every
   model of a tick speaks of the same instant. #}
{% macro as_of_instant() -%}
    {{ return(
        instant(var('as_of'), 'as_of') if var('as_of', none) else run_started_at.replace(tzinfo=none, microsecond=0)
    ) }}
{%- endmacro %}

{% macro as_of() -%}
    {{ timestamp_literal(as_of_instant()) }}
{%- endmacro %}
