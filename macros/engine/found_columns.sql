{# The schemas of `schemas` that are there: a mapping of schema to table to the list of
   its columns, all in upper case, by one statement. #}
{% macro found_columns(schemas) -%}
    {%- set names = [] -%}
    {%- for name in schemas -%}{%- do names.append(sql_string(name | upper)) -%}{%- endfor -%}
    {%- set found = {} -%}
    {%- for schema, table, column in run_query(adapter.dispatch('found_columns')(names | join(', '))).rows -%}
        {%- set tables = found.setdefault(schema | upper, {}) -%}
        {%- if table -%}{%- do tables.setdefault(table | upper, []).append(column | upper) -%}{%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{# Names keep their case. The views show all that is attached, whatever goes before them. #}
{% macro duckdb__found_columns(names) -%}
    select s.schema_name, c.table_name, c.column_name
    from information_schema.schemata as s
    left join information_schema.columns as c on s.catalog_name = c.table_catalog and s.schema_name = c.table_schema
    where upper(s.catalog_name) = {{ sql_string(target.database | upper) }} and upper(s.schema_name) in ({{ names }})
{%- endmacro %}

{# Names are in upper case. Without a database the session's is looked at, and only a
   column that is compared with literals, without a function, limits what is looked up. #}
{% macro snowflake__found_columns(names) -%}
    select s.schema_name, c.table_name, c.column_name
    from {{ target.database }}.information_schema.schemata as s
    left join {{ target.database }}.information_schema.columns as c
        on s.schema_name = c.table_schema and c.table_schema in ({{ names }})
    where s.schema_name in ({{ names }})
{%- endmacro %}
