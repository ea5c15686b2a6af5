{# How many distinct records have landed and are not in the orders yet: one row,
   `pending_records`. What the scheduler asks before it runs the transform. #}
{% macro pending_records() -%}
    {%- set records = load_relation(ref('order_event_records')) -%}
    {%- set window = load_window(records) -%}
    select
        count(distinct landed.record_id) + (select count(*) from ({{ unfolded_records(records) }}) as unfolded)
            as pending_records
    from ({{ landed_since(epoch_ms(window.from_at)) }}) as landed
    where not exists (
        select 1
        from ({{ loaded_records(records, window.from_at) }}) as loaded
        where loaded.record_id = landed.record_id
    )
{%- endmacro %}
