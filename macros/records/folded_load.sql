{# The newest load that fct_orders (`orders`, or none) holds, 0 if it holds none. #}
{% macro folded_load(orders) -%}
    {%- set newest = newest_load(orders, 'loaded_at') if execute and orders is not none else none -%}
    {{ return(newest.load_id if newest is not none else 0) }}
{%- endmacro %}
