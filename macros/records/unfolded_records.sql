{# record_id and landed_at of what is loaded but not in fct_orders yet, because an
   earlier run ended between the two: as pending as what is not loaded at all. #}
{% macro unfolded_records(records) -%}
    {%- set orders = load_relation(ref('fct_orders')) -%}
    {%- if records is none %}
    select cast(null as varchar) as record_id, {{ as_of() }} as landed_at where 1 = 0
    {%- else %}
    select
        record_id,
        landed_at
    from {{ records }}
    where load_id > {{ folded_load(orders) }} and rejected_reason is null
    {%- endif %}
{%- endmacro %}
