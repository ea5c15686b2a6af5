with

consumer_lag as (

    select * from {{ ref('consumer_lag') }}

),

watch_partitions as (

    select
        evaluated_at,
        topic || ' partition ' || partition || ' of ' || consumer_group as entity,
        state,
        'landed offset ' || coalesce(cast(landed_offset as varchar), 'none') || ', log end '
        || coalesce(cast(log_end_offset as varchar), 'unknown') || ', '
        || coalesce(cast(lag_events as varchar), '?') || ' events and '
        || coalesce(cast(lag_seconds as varchar), '?') || ' s behind (' || lag_method || '); committed '
        || coalesce(cast(committed_offset as varchar), 'nothing') || ', ' || lower(committed_state)
        || case when expired_events > 0 then '; ' || expired_events || ' deleted before they landed' else '' end as detail
    from consumer_lag

)

select * from watch_partitions
