with

record_quality as (

    select * from {{ ref('record_quality') }}

),

watch_records as (

    select
        evaluated_at,
        topic as entity,
        unexpected_records,
        rejected_pct,
        {{ with_unit('record_count', 'records') }} || ' loaded in an hour, ' || rejected_records || ' rejected, ' || late_records
        || ' late' || coalesce('; ' || unexpected_kinds || ' unexpected, such as: ' || unexpected_example, '') as detail
    from record_quality

)

select * from watch_records
