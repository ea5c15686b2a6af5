{# Those of `landed`, a query of landed records, that `records` does not hold: their
   `record_time_key`, by which arrivals_by_step counts them. #}
{% macro unloaded_records(records, landed) -%}
    with

    arrivals as (

        select
            record_id,
            created_at,
            {{ record_time_column() }}
        from ({{ landed }}) as landed

    ),

    loaded as (

        {{ loaded_records(records, 'arrivals') }}

    )

    select {{ record_time_column() }}
    from arrivals
    where not exists (select 1 from loaded where loaded.record_id = arrivals.record_id)
{%- endmacro %}

{# Whether there are any. #}
{% macro has_unloaded(records, landed) -%}
    {{ return(answers(unloaded_records(records, landed) ~ ' limit 1') | length > 0) }}
{%- endmacro %}
