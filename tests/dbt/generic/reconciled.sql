{# Two ways to the same figures agree: no row of `model` that is neither
   `is_reconciled` nor `awaits_rebuild`. The rows that fail, with both sides' figures,
   are kept in a table. #}
{% test reconciled(model) %}
    {{ config(store_failures=true, schema='MONITORING') }}
    select *
    from {{ model }}
    where not is_reconciled and not awaits_rebuild
{% endtest %}
