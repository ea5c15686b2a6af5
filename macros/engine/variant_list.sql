{# Aggregate: a list of the variants `value` by `order`; NULL where there is no row. #}
{% macro variant_list(value, order) -%}
    case when count(*) > 0 then {{ adapter.dispatch('variant_list')(value, order) }} end
{%- endmacro %}

{% macro duckdb__variant_list(value, order) -%}
    cast(list({{ value }} order by {{ order }}) as variant)
{%- endmacro %}

{% macro snowflake__variant_list(value, order) -%}
    to_variant(array_agg({{ value }}) within group (order by {{ order }}))
{%- endmacro %}
