{# Where a step over `arrivals` (a row of arrivals_by_step) ends, none where they are no more than one. #}
{% macro step_end(arrivals) -%}
    {%- if (arrivals[0] or 0) <= var('load_step_records') -%}{{ return(none) }}{%- endif -%}
    {{ return(([arrivals[1] if arrivals[1] is not none else 0, arrivals[2]] | max | int + 1) * 60000) }}
{%- endmacro %}
