{# A table of MONITORING that macros write to, for them: they cannot call source(). #}
{% macro monitoring_table(name) -%}
    {{ return(api.Relation.create(
        database=target.database,
        schema=var('schema_prefix') ~ 'MONITORING',
        identifier=name | upper
    )) }}
{%- endmacro %}
