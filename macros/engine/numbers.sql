{# A relation with one column `n`: 0, 1, ... below `upper`, a literal. #}
{% macro numbers(upper) -%}
    {{ return(adapter.dispatch('numbers')(upper)) }}
{%- endmacro %}

{% macro duckdb__numbers(upper) -%}
    (select cast(range as bigint) as n from range({{ upper }}))
{%- endmacro %}

{% macro snowflake__numbers(upper) -%}
    (
        select row_number() over (order by seq8()) - 1 as n
        from table(generator(rowcount => {{ upper }}))
    )
{%- endmacro %}
