{# What the loads after `load_id` brought: one row, `records`, `rejected`, `orders`, the
   number of orders that changed, and `marks`, the evaluations that were made again. #}
{% macro backfilled_records(load_id) -%}
    select
        count(*) as records,
        count(rejected_reason) as rejected,
        count(distinct case when rejected_reason is null then order_id end) as orders,
        (select count(*) from {{ ref('evaluation_marks') }}) as marks
    from {{ ref('order_event_records') }}
    where load_id > {{ load_id | int }}
{%- endmacro %}
