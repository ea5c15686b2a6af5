{# An age at its evaluation, grown by the time since: an alert on it also fires
   when the evaluations themselves stop and the test is run by somebody else. #}
{% macro age_now(age_seconds) -%}
    {{ age_seconds }} + {{ dbt.datediff('evaluated_at', as_of(), 'second') }}
{%- endmacro %}
