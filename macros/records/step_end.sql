{# Where a step over `arrivals` (a row of arrivals_by_step) ends, none where they are no more than one. #}
{% macro step_end(arrivals) -%}
    {%- if (arrivals.arrived or 0) <= var('load_step_records') -%}{{ return(none) }}{%- endif -%}
    {{ return(([arrivals.last_minute or 0, arrivals.first_minute] | max | int + 1) * 60000) }}
{%- endmacro %}
