{# Asks the warehouse: the rows of `query`, a mapping of column to value each. Names are in
   lower case on both engines. A unit test gives one answer to all questions of a model,
   so no two of these give different values the same name. #}
{% macro answers(query) -%}
    {%- set answers = [] -%}
    {%- for row in run_query(query).rows -%}
        {%- set answer = {} -%}
        {%- for name, value in row.items() -%}{%- do answer.update({name | lower: value}) -%}{%- endfor -%}
        {%- do answers.append(answer) -%}
    {%- endfor -%}
    {{ return(answers) }}
{%- endmacro %}
