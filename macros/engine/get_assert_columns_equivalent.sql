{# dbt's own check of a model's columns against its contract, two statements for each model.
   Of a parsed project it cannot come out another way than before: a process that runs it
   again and again, in every tick, checks once. #}
{% macro default__get_assert_columns_equivalent(sql) -%}
    {%- if var('check_contracts', true) -%}
        {{ return(assert_columns_equivalent(sql)) }}
    {%- endif -%}
{%- endmacro %}
