{# A number with its unit, as text; NULL for NULL. After 1 a unit such as `failed runs`
   loses its s. #}
{% macro with_unit(number, unit) -%}
    {%- set one = modules.re.sub('^([a-z ]+)s$', '\\1', unit) -%}
    cast({{ number }} as varchar) || case when {{ number }} = 1 then ' {{ one }}' else ' {{ unit }}' end
{%- endmacro %}
