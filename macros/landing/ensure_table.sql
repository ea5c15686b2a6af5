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
