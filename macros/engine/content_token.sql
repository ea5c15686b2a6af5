{# Text that is another one once any of `relations` was written to, asked for without a
   warehouse; none where the engine tells nothing as cheap. #}
{% macro content_token(relations) -%}
    {{ return(adapter.dispatch('content_token')(relations)) }}
{%- endmacro %}

{% macro duckdb__content_token(relations) -%}
    {{ return(none) }}
{%- endmacro %}

{% macro snowflake__content_token(relations) -%}
    {%- set tokens = [] -%}
    {%- for relation in relations -%}
        {%- do tokens.append("system$last_change_commit_time('" ~ relation ~ "')") -%}
    {%- endfor -%}
    {{ return(run_query('select ' ~ tokens | join(" || '/' || ")).rows[0][0]) }}
{%- endmacro %}
