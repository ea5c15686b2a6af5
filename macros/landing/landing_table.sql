{# A landing table's relation for run-operations, which cannot call source(). #}
{% macro landing_table(name) -%}
    {{ return(api.Relation.create(
        database=target.database,
        schema=var('landing_schema'),
        identifier=name | upper
    )) }}
{%- endmacro %}
