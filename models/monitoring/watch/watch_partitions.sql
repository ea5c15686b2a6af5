with

consumer_lag as (

    select * from {{ ref('consumer_lag') }}

),

watch_partitions as (

    select
        evaluated_at,
        topic || ' partition ' || partition || ' of ' || consumer_group as entity,
        topic,
        state,
        expired_events,
        'landed offset ' || coalesce(cast(landed_offset as varchar), 'none') || ', log end '
        || coalesce(cast(log_end_offset as varchar), 'unknown') || ', '
        || coalesce(
            {{ with_unit('lag_events', 'events') }} || coalesce(' and ' || lag_seconds || ' s', '')
            || ' behind (' || lag_method || ')', 'lag unknown'
        ) || '; '
        || coalesce(
            'committed ' || committed_offset
            || coalesce(', ' || {{ with_unit('committed_lag_events', 'events') }} || ' behind', '')
            || ', ' || lower(committed_state), 'no commit known'
        ) || case when expired_events > 0 then '; ' || expired_events || ' deleted before they landed' else '' end as detail
    from consumer_lag

)

select * from watch_partitions
