with

marks as (

    select * from {{ ref('evaluation_marks') }}

),

states as (

    select
        *,
        max(collected_at) over (partition by evaluated_at, consumer_group, topic) as topic_collected_at
    from {{ ref('partition_states') }}

),

-- What ought to be there is listed, so that what vanished is a row with NULLs.
partitions as (

    select
        marks.evaluated_at,
        topics.consumer_group,
        topics.topic,
        cast(numbers.n as integer) as partition
    from marks
    cross join {{ ref('expected_topics') }} as topics
    inner join {{ numbers(10000) }} as numbers on topics.partitions > numbers.n
    union
    select
        evaluated_at,
        consumer_group,
        topic,
        partition
    from states

),

-- While the feed is fresh, what its newest sample of the topic lacks has vanished from
-- the broker: no estimate stands in for it.
feeds as (

    select distinct evaluated_at
    from states
    where collected_at >= {{ dbt.dateadd('minute', -var('sample_max_age_minutes'), 'evaluated_at') }}

),

facts as (

    select
        partitions.*,
        feeds.evaluated_at is not null as is_measured,
        measured.position as next_offset,
        measured.log_start_offset,
        measured.log_end_offset,
        measured.lag_events as measured_events,
        measured.lag_seconds as measured_seconds,
        measured.is_older_than_window,
        measured.log_end_standing_seconds,
        measured.is_reported,
        measured.state as measured_state,
        committed.position as committed_offset,
        committed.lag_events as committed_lag_events,
        committed.lag_seconds as committed_lag_seconds,
        committed.state as committed_state,
        landed.landed_offset,
        case
            when landed.last_landed_at > partitions.evaluated_at then 0
            else {{ dbt.datediff('landed.last_landed_at', 'partitions.evaluated_at', 'second') }}
        end as silent_seconds,
        landed.records_per_second
    from partitions
    left join {{ ref('landed_offsets') }} as landed
        on
            partitions.evaluated_at = landed.evaluated_at
            and partitions.topic = landed.topic
            and partitions.partition = landed.partition
    left join feeds on partitions.evaluated_at = feeds.evaluated_at
    left join states as measured
        on
            partitions.evaluated_at = measured.evaluated_at
            and partitions.consumer_group = measured.consumer_group
            and partitions.topic = measured.topic
            and partitions.partition = measured.partition
            and measured.progress = 'landed'
            and measured.collected_at = measured.topic_collected_at
            and measured.collected_at
            >= {{ dbt.dateadd('minute', -var('sample_max_age_minutes'), 'measured.evaluated_at') }}
    left join states as committed
        on
            measured.evaluated_at = committed.evaluated_at
            and measured.consumer_group = committed.consumer_group
            and measured.topic = committed.topic
            and measured.partition = committed.partition
            and committed.progress = 'committed'

),

lags as (

    select
        *,
        case
            when is_measured then measured_events
            else cast(floor(records_per_second * silent_seconds) as bigint)
        end as lag_events
    from facts

),

consumer_lag as (

    select
        evaluated_at,
        consumer_group,
        topic,
        partition,
        case when is_measured then next_offset - 1 else landed_offset end as landed_offset,
        log_end_offset,
        committed_offset,
        lag_events,
        case
            when lag_events = 0 then 0
            -- The samples do not reach back to it, and nothing landed within them: it is as
            -- old as the partition's silence.
            when
                is_measured and is_older_than_window and silent_seconds >= {{ var('lag_window_minutes') }} * 60
                then silent_seconds
            when is_measured then measured_seconds
            when lag_events > 0 then silent_seconds
        end as lag_seconds,
        case
            when not is_measured then 'estimated'
            when is_reported then 'reported'
            else 'measured'
        end as lag_method,
        case
            when lag_events is null then 'UNKNOWN'
            when is_measured and committed_state = 'REWIND' then 'REWIND'
            -- The group has read all that there is, and nothing follows: what did not
            -- land was never meant to (a transaction's marker, a filtered record).
            when
                is_measured and measured_state in ('STALL', 'STOP')
                and committed_lag_events <= {{ var('allowed_lag_events') }}
                and log_end_standing_seconds >= {{ var('stalled_after_minutes') }} * 60
                then 'IDLE'
            when is_measured then measured_state
            -- An estimate is a guess about chance: ten missing records are not.
            when lag_events >= 10 and silent_seconds >= {{ var('stalled_after_minutes') }} * 60 then 'STALL'
            when silent_seconds > 3600 then 'IDLE'
            else 'OK'
        end as state,
        committed_lag_events,
        committed_lag_seconds,
        coalesce(committed_state, 'UNKNOWN') as committed_state,
        log_start_offset,
        case
            when log_start_offset > next_offset then log_start_offset - next_offset
            when next_offset is not null then 0
        end as expired_events
    from lags

)

select
    evaluated_at,
    consumer_group,
    topic,
    partition,
    landed_offset,
    log_end_offset,
    committed_offset,
    lag_events,
    cast(lag_seconds as bigint) as lag_seconds,
    lag_method,
    state,
    committed_lag_events,
    committed_lag_seconds,
    committed_state,
    log_start_offset,
    expired_events
from consumer_lag
