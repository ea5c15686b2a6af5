with

checks as (

    select
        evaluated_at,
        topic || ' partition ' || partition as entity,
        missing_records,
        {{ dbt.datediff('window_start', 'window_end', 'minute') }} > {{ var('completeness_hours') * 60 }} as is_wide,
        landed_records || ' landed from ' || window_start || ' to ' || window_end || ' UTC, of which ' || loaded_records
        || ' are loaded and ' || rejected_records || ' rejected; offsets '
        || coalesce(first_offset || ' to ' || last_offset || ', of which '
        || coalesce(cast(offset_gaps as varchar), 'an unknown number') || ' never landed', 'unknown') as detail
    from {{ ref('record_completeness') }}

),

nights as (

    select
        *,
        lead(evaluated_at) over (partition by entity order by evaluated_at) as next_at
    from checks
    where is_wide

),

-- A night looks further back than a tick: what it misses stays missing until the next one, or the check that ends
-- a backfill, finds it.
watch_completeness as (

    select
        checks.evaluated_at,
        checks.entity,
        case
            when nights.missing_records > checks.missing_records then nights.missing_records else checks.missing_records
        end as missing_records,
        case when nights.missing_records > checks.missing_records then nights.detail else checks.detail end as detail
    from checks
    left join nights
        on
            checks.entity = nights.entity
            and nights.missing_records > 0
            and checks.evaluated_at > nights.evaluated_at
            and (nights.next_at is null or checks.evaluated_at < nights.next_at)

)

select * from watch_completeness
