{# The table of a model that is downstream of this one, in the same schema, and so cannot be
   had by ref(); none before it was first built. #}
{% macro downstream(name) -%}
    {%- if not execute -%}{{ return(none) }}{%- endif -%}
    {{ return(load_relation(api.Relation.create(database=model.database, schema=model.schema, identifier=name))) }}
{%- endmacro %}
