{# For unit tests, in a call block: its YAML as rows of a landing table with RECORD_METADATA
   and RECORD_CONTENT, whatever columns the one in the warehouse has. #}
{% macro landed_rows() -%}
    {%- for row in fromyaml(caller()) %}
    select
        {%- for column in ['record_metadata', 'record_content'] %}
        {{ 'cast(null as variant)' if row.get(column) is none else json_to_variant(tojson(row[column])) }} as {{ column }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
