with

marks as (

    select * from {{ ref('evaluation_marks') }}

),

broker as (

    select * from {{ ref('broker_offsets') }}

),

landed as (

    select * from {{ ref('landed_offsets') }}

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
    from broker

),

-- A topic is measured while any of its partitions has a fresh sample.
measured_topics as (

    select distinct
        evaluated_at,
        consumer_group,
        topic,
        topic_collected_at
    from broker
    where
        topic_collected_at
        >= {{ dbt.dateadd('minute', -var('sample_max_age_minutes'), 'evaluated_at') }}

),

facts as (

    select
        partitions.evaluated_at,
        partitions.consumer_group,
        partitions.topic,
        partitions.partition,
        landed.landed_offset,
        landed.earlier_landed_offset,
        landed.records_per_second,
        broker.log_start_offset,
        broker.log_end_offset,
        broker.committed_offset,
        broker.is_produced_to,
        broker.produced_at,
        coalesce(broker.is_produced_before_window, false) as is_produced_before_window,
        broker.collected_at,
        measured_topics.topic is not null as is_measured,
        case
            when landed.last_landed_at > partitions.evaluated_at then 0
            else {{ dbt.datediff('landed.last_landed_at', 'partitions.evaluated_at', 'second') }}
        end as silent_seconds,
        -- What has landed cannot be ahead of the broker, unless its offsets began again.
        coalesce(broker.is_rewound, false)
        or coalesce(
            broker.log_end_offset <= landed.landed_offset and broker.collected_at > landed.last_landed_at, false
        )
        or coalesce(
            broker.log_end_offset <= landed.earlier_landed_offset
            and broker.collected_at
            >= {{ dbt.dateadd('minute', -var('stalled_after_minutes'), 'partitions.evaluated_at') }},
            false
        ) as is_rewound
    from partitions
    left join landed
        on
            partitions.evaluated_at = landed.evaluated_at
            and partitions.topic = landed.topic
            and partitions.partition = landed.partition
    left join measured_topics
        on
            partitions.evaluated_at = measured_topics.evaluated_at
            and partitions.consumer_group = measured_topics.consumer_group
            and partitions.topic = measured_topics.topic
    -- A partition that the newest sample lacks has vanished from the broker.
    left join broker
        on
            measured_topics.evaluated_at = broker.evaluated_at
            and measured_topics.consumer_group = broker.consumer_group
            and measured_topics.topic = broker.topic
            and measured_topics.topic_collected_at = broker.collected_at
            and partitions.partition = broker.partition

),

lags as (

    select
        *,
        case
            when not is_measured then cast(floor(records_per_second * silent_seconds) as bigint)
            when log_end_offset > coalesce(landed_offset + 1, log_start_offset)
                then log_end_offset - coalesce(landed_offset + 1, log_start_offset)
            when log_end_offset is not null then 0
        end as lag_events
    from facts

),

timed_lags as (

    select
        *,
        case
            when lag_events = 0 then 0
            -- The samples do not reach back to it: the partition's silence does.
            when
                is_measured and lag_events > 0 and is_produced_before_window
                and silent_seconds > {{ dbt.datediff('produced_at', 'evaluated_at', 'second') }}
                then silent_seconds
            when is_measured and lag_events > 0
                then {{ dbt.datediff('produced_at', 'evaluated_at', 'second') }}
            when lag_events > 0 then silent_seconds
        end as lag_seconds
    from lags

),

consumer_lag as (

    select
        evaluated_at,
        consumer_group,
        topic,
        partition,
        landed_offset,
        log_end_offset,
        committed_offset,
        cast(lag_events as bigint) as lag_events,
        cast(lag_seconds as bigint) as lag_seconds,
        case when is_measured then 'measured' else 'estimated' end as lag_method,
        case
            when lag_events is null then 'unknown'
            when is_rewound then 'rewound'
            when
                lag_seconds >= {{ var('stalled_after_minutes') }} * 60
                and coalesce(landed_offset = earlier_landed_offset, landed_offset is null)
                -- An estimate is a guess about chance: ten missing records are not.
                and (is_measured or lag_events >= 10)
                then 'stalled'
            when lag_seconds > {{ var('lagging_after_seconds') }} and (is_measured or lag_events >= 10)
                then 'lagging'
            when is_measured and lag_events = 0 and not is_produced_to then 'idle'
            when not is_measured and silent_seconds > 3600 then 'idle'
            else 'ok'
        end as state
    from timed_lags

)

select * from consumer_lag
