{# The keys of a VARIANT object that are not in `known`, sorted, as text with commas;
   NULL where there are none. #}
{% macro unknown_keys(value, known) -%}
    {{ return(adapter.dispatch('unknown_keys')(value, known)) }}
{%- endmacro %}

{% macro duckdb__unknown_keys(value, known) -%}
    nullif(array_to_string(list_sort(list_filter(
        variant_keys({{ value }}), lambda name: name not in ('{{ known | join("', '") }}')
    )), ', '), '')
{%- endmacro %}

{# An OBJECT only: object_keys fails on anything else. #}
{% macro snowflake__unknown_keys(value, known) -%}
    nullif(array_to_string(array_sort(array_except(
        object_keys(iff(typeof({{ value }}) = 'OBJECT', {{ value }}, object_construct())::object),
        array_construct('{{ known | join("', '") }}')
    )), ', '), '')
{%- endmacro %}
