{# record_id, loaded_at and rejected_reason of those of `arrivals`, a relation with record_id and
   created_at, that `records` already holds. A copy has its record's Kafka timestamp,
   however much later it is delivered: by that the history is pruned, and not by the time
   of arrival. `created_from` is the least of these timestamps, where it is known. #}
{% macro loaded_records(records, arrivals, created_from=none) -%}
    {%- if records is none %}
    select cast(null as varchar) as record_id, {{ as_of() }} as loaded_at, cast(null as varchar) as rejected_reason where 1 = 0
    {%- else %}
    select
        records.record_id,
        records.loaded_at,
        records.rejected_reason
    from {{ records }} as records
    inner join {{ arrivals }} as arrivals
        on records.created_at = arrivals.created_at and records.record_id = arrivals.record_id
    {%- if created_from is not none %}
    where records.created_at >= {{ timestamp_literal(created_from) }}
    {%- endif %}
    union all
    select
        records.record_id,
        records.loaded_at,
        records.rejected_reason
    from {{ records }} as records
    inner join {{ arrivals }} as arrivals on records.record_id = arrivals.record_id
    where records.created_at is null and arrivals.created_at is null
    {%- endif %}
{%- endmacro %}
