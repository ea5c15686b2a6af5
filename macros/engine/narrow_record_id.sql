{# The staging column to identify the records of `landed`, a query, by. DuckDB takes each
   field of a payload out ten times as fast where the whole payload is not needed too:
   there it is the one without the content, if that tells all of them. A record that lands
   a moment later and has none is left to the next load. #}
{% macro narrow_record_id(landed) -%}
    {%- if not execute or load_relation(ref('stg_streaming__order_events')) is none -%}{{ return('record_id') }}{%- endif -%}
    {{ return(adapter.dispatch('narrow_record_id')(landed)) }}
{%- endmacro %}

{% macro duckdb__narrow_record_id(landed) -%}
    {%- set others = run_query(
        'select count(*) - count(record_id_without_content) from (' ~ landed ~ ') as landed'
    ).rows[0][0] -%}
    {{ return('record_id' if others else 'record_id_without_content') }}
{%- endmacro %}

{% macro snowflake__narrow_record_id(landed) -%}
    {{ return('record_id') }}
{%- endmacro %}
