{# One row: `pending`, how many distinct records have landed and are not in the orders
   yet, and `is_partial`, whether that is more than one run loads. Then copies are not
   looked for: about so many. #}
{% macro pending_records() -%}
    {%- set records = load_relation(ref('order_event_records')) -%}
    {%- set window = load_window(records) -%}
    with

    unfolded as (

        {{ unfolded_records(records) }}

    ),

    {% if window.to_ms is not none -%}
    unloaded as (

        select {{ window.arrived }} as records

    )
    {%- else -%}
    landed as (

        select
            record_id,
            created_at
        from ({{ landed_since(window.from_ms) }}) as arrivals

    ),

    loaded as (

        {{ loaded_records(records, 'landed') }}

    ),

    unloaded as (

        select count(distinct landed.record_id) as records
        from landed
        where not exists (select 1 from loaded where loaded.record_id = landed.record_id)

    )
    {%- endif %}

    select
        unloaded.records + (select count(*) from unfolded) as pending,
        {{ 'true' if window.to_ms is not none else 'false' }}
        or (select count(*) from unfolded) > {{ var('load_step_records') }} as is_partial
    from unloaded
{%- endmacro %}
