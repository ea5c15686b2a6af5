{# The staging column to identify the records of `landed`, a query, by. DuckDB takes each
   field of a payload out ten times as fast where the whole payload is not needed too:
   there it is the one without the content, if that tells all of them. A record that lands
   a moment later and has none is left to the next load. #}
{% macro narrow_record_id(landed) -%}
    {%- set is_staged = execute and load_relation(ref('stg_streaming__order_events')) is not none -%}
    {{ return('record_id_without_content' if is_staged and needs_no_content(landed) else 'record_id') }}
{%- endmacro %}

{# Asks the warehouse: whether the identifiers of `landed` are known without the content. #}
{% macro needs_no_content(landed) -%}
    {{ return(adapter.dispatch('needs_no_content')(landed)) }}
{%- endmacro %}

{% macro duckdb__needs_no_content(landed) -%}
    {{ return(answers(
        'select count(record_id_without_content) = count(*) as needs_no_content from (' ~ landed ~ ') as landed'
    )[0].needs_no_content) }}
{%- endmacro %}

{% macro snowflake__needs_no_content(landed) -%}
    {{ return(false) }}
{%- endmacro %}
