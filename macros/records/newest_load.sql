{# The newest load in `relation`, a mapping with `load_id` and, where `columns` (a
   mapping of name to aggregate) asks for more, those over the rows since `at_column`
   was last recent; none if there are no rows. It looks at the newest hour first and
   then further back, and makes sure of the number by it: so neither query reads a
   table that grows, unless nothing came for long. #}
{% macro newest_load(relation, at_column, columns={}) -%}
    {%- set found = namespace(row=none) -%}
    {%- set selected = ['max(load_id) as newest_load_id'] -%}
    {%- for name, aggregate in columns.items() -%}{%- do selected.append(aggregate ~ ' as ' ~ name) -%}{%- endfor -%}
    {%- for minutes in [var('late_arrival_minutes'), 1440, 43200, none] if found.row is none -%}
        {%- set row = answers(
            'select ' ~ selected | join(', ') ~ ' from ' ~ relation
            ~ (' where ' ~ at_column ~ ' >= ' ~ timestamp_literal(as_of_instant() - modules.datetime.timedelta(minutes=minutes))
                if minutes is not none else '')
        )[0] -%}
        {#- Every column is asked for: a stretch of odd records alone is passed over. -#}
        {%- if none not in row.values() or (minutes is none and row.newest_load_id is not none) -%}
            {%- set found.row = row -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if found.row is none -%}{{ return(none) }}{%- endif -%}
    {%- set newest = answers(
        'select max(load_id) as newest_load_id from ' ~ relation ~ ' where load_id >= ' ~ found.row.newest_load_id | int
    )[0] -%}
    {{ return(dict(found.row, load_id=newest.newest_load_id | int)) }}
{%- endmacro %}
