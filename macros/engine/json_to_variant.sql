{# A JSON text of our own as a variant. #}
{% macro json_to_variant(json) -%}
    {{ return(adapter.dispatch('json_to_variant')(sql_string(json))) }}
{%- endmacro %}

{% macro duckdb__json_to_variant(json) -%}
    cast(cast({{ json }} as json) as variant)
{%- endmacro %}

{% macro snowflake__json_to_variant(json) -%}
    parse_json({{ json }})
{%- endmacro %}
