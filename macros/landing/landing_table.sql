{# A landing table's relation for run-operations, which cannot call source(). #}
{% macro landing_table(name) -%}
    {{ return(api.Relation.create(
        database=target.database,
        schema=var('schema_prefix') ~ 'STREAMING',
        identifier=name | upper
    )) }}
{%- endmacro %}
