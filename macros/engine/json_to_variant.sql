{% macro json_to_variant(text) -%}
    {{ return(adapter.dispatch('json_to_variant')(text)) }}
{%- endmacro %}

{% macro duckdb__json_to_variant(text) -%}
    cast(cast({{ text }} as json) as variant)
{%- endmacro %}

{% macro snowflake__json_to_variant(text) -%}
    parse_json({{ text }})
{%- endmacro %}
