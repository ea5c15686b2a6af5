{# record_id, loaded_at and rejected_reason of those of `arrivals`, a relation with record_id and
   created_at, that `records` already holds. A copy has its record's Kafka timestamp,
   however much later it is delivered: by that the history is pruned, and not by the time
   of arrival. No literal bound besides: DuckDB would apply it to the arrivals as well, and
   scan all of them. Grouped, they are what it builds the join's hash table of. #}
{% macro loaded_records(records, arrivals) -%}
    {%- if records is none %}
    select cast(null as varchar) as record_id, {{ as_of() }} as loaded_at, cast(null as varchar) as rejected_reason where 1 = 0
    {%- else %}
    select
        records.record_id,
        records.loaded_at,
        records.rejected_reason
    from {{ records }} as records
    inner join (select record_id, created_at from {{ arrivals }} group by 1, 2) as arrivals
        on records.created_at = arrivals.created_at and records.record_id = arrivals.record_id
    union all
    select
        records.record_id,
        records.loaded_at,
        records.rejected_reason
    from {{ records }} as records
    inner join (select record_id from {{ arrivals }} where created_at is null group by 1) as arrivals
        on records.record_id = arrivals.record_id
    where records.created_at is null
    {%- endif %}
{%- endmacro %}
