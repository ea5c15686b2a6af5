with

record_completeness as (

    select * from {{ ref('record_completeness') }}

),

watch_completeness as (

    select
        evaluated_at,
        topic || ' partition ' || partition as entity,
        missing_records,
        landed_records || ' landed from ' || window_start || ' to ' || window_end || ' UTC, of which ' || loaded_records
        || ' are loaded and ' || rejected_records || ' rejected; offsets '
        || coalesce(first_offset || ' to ' || last_offset || ', of which '
        || coalesce(cast(offset_gaps as varchar), 'an unknown number') || ' never landed', 'unknown') as detail
    from record_completeness

)

select * from watch_completeness
