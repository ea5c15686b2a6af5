{# Creates `table` with `columns`, a mapping of name to type, if it is missing. Else adds
   the columns that it lacks, empty. `found` is the result of found_columns(): CREATE ...
   IF NOT EXISTS wants the privilege even where it has nothing to do. #}
{% macro ensure_table(table, columns, found, add_columns=true) -%}
    {%- set stored = found.get(table.schema | upper, {}).get(table.identifier | upper) -%}
    {%- if stored is none -%}
        {%- set definitions = [] -%}
        {%- for name, type in columns.items() -%}{%- do definitions.append(name ~ ' ' ~ type) -%}{%- endfor -%}
        {%- do run_query('create table if not exists ' ~ table ~ ' (' ~ definitions | join(', ') ~ ')') -%}
    {%- elif add_columns -%}
        {%- set additions = [] -%}
        {%- for name, type in columns.items() if name | upper not in stored -%}
            {%- do additions.append('alter table ' ~ table ~ ' add column ' ~ name ~ ' ' ~ type) -%}
        {%- endfor -%}
        {%- if additions and not owns_table(table) -%}
            {{ exceptions.raise_compiler_error(
                table ~ ' lacks columns, and only its owner can add them. Run as its owner: ' ~ additions | join('; ')
            ) }}
        {%- endif -%}
        {%- for addition in additions -%}{%- do run_query(addition) -%}{%- endfor -%}
    {%- endif -%}
{%- endmacro %}

{# The schemas of `schemas` that are there: a mapping of schema to table to the list of
   its columns, all in upper case, by one statement. #}
{% macro found_columns(schemas) -%}
    {%- set names = [] -%}
    {%- for name in schemas -%}{%- do names.append(sql_string(name | upper)) -%}{%- endfor -%}
    {%- set rows = run_query(
        'select s.schema_name, c.table_name, c.column_name from information_schema.schemata as s'
        ~ ' left join information_schema.columns as c on s.catalog_name = c.table_catalog and s.schema_name = c.table_schema'
        ~ ' where upper(s.catalog_name) = ' ~ sql_string(target.database | upper)
        ~ ' and upper(s.schema_name) in (' ~ names | join(', ') ~ ')'
    ).rows -%}
    {%- set found = {} -%}
    {%- for schema, table, column in rows -%}
        {%- set tables = found.setdefault(schema | upper, {}) -%}
        {%- if table -%}{%- do tables.setdefault(table | upper, []).append(column | upper) -%}{%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
