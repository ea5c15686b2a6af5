{# An age at its evaluation, grown by the time since: an alert on it also fires
   when the evaluations themselves stop and the test is run by somebody else. Only of the
   newest evaluation: the earlier ones say since when. #}
{% macro age_now(age_seconds) -%}
    {{ age_seconds }} + case
        when evaluated_at = max(evaluated_at) over () then {{ dbt.datediff('evaluated_at', as_of(), 'second') }}
        else 0
    end
{%- endmacro %}
