{{ config(materialized='view') }}

{%- set partition = 'consumer_group, topic, partition' %}
{%- set earlier = 'partition by ' ~ partition ~ ', log_end_offset is null order by collected_at' %}

with

marks as (

    select * from {{ ref('evaluation_marks') }}

),

-- A window more than is judged, so that a log that began anew is known from samples
-- of the one before.
span as (

    select
        {{ dbt.dateadd('minute', -2 * var('lag_window_minutes'), 'min(evaluated_at)') }} as from_at,
        max(evaluated_at) as until_at
    from marks

),

-- A tick that was repeated has left its samples twice.
broker as (

    select
        offsets.consumer_group,
        offsets.topic,
        offsets.partition,
        offsets.collected_at,
        max(offsets.log_start_offset) as log_start_offset,
        max(offsets.log_end_offset) as log_end_offset,
        max(offsets.committed_offset) as committed_offset,
        max(offsets.consumer_lag_offsets) as consumer_lag_offsets
    from {{ ref('stg_streaming__kafka_offsets') }} as offsets
    inner join span on offsets.collected_at > span.from_at and offsets.collected_at <= span.until_at
    group by 1, 2, 3, 4

),

samples as (

    select
        *,
        -- A topic that was made anew has its first record again. Where only the end went
        -- back, an older replica leads: the log is the same.
        case
            when log_start_offset < lag(log_start_offset) over ({{ earlier }}) then 1
            when log_start_offset = 0 and log_end_offset < lag(log_end_offset) over ({{ earlier }}) then 1
            else 0
        end as is_new_log
    from broker

),

-- What landed before the first sample may be of another log.
consumers as (

    select
        {{ partition }},
        min(collected_at) as first_at
    from samples
    group by {{ partition }}

),

landings as (

    select
        consumers.consumer_group,
        buckets.topic,
        buckets.partition,
        buckets.bucket_start,
        buckets.max_offset
    from {{ ref('order_event_buckets') }} as buckets
    inner join consumers
        on
            buckets.topic = consumers.topic
            and buckets.partition = consumers.partition
            and {{ dbt.dateadd('minute', 1, 'buckets.bucket_start') }} > consumers.first_at
    inner join span on buckets.bucket_start > span.from_at and buckets.bucket_start < span.until_at

),

-- One line of time for each partition: what landed, what was sampled, what is
-- evaluated. So each sample is read against what had landed by then, to the minute:
-- of one that is running all counts, for a lag of less than a minute is none.
events as (

    select
        {{ partition }},
        bucket_start as happened_at,
        0 as kind,
        0 as is_new_log,
        max_offset as landed_offset
    from landings
    union all
    select
        {{ partition }},
        collected_at as happened_at,
        1 as kind,
        is_new_log,
        null as landed_offset
    from samples
    union all
    select distinct
        samples.consumer_group,
        samples.topic,
        samples.partition,
        marks.evaluated_at as happened_at,
        2 as kind,
        0 as is_new_log,
        null as landed_offset
    from samples
    cross join marks

),

logs as (

    select
        *,
        sum(is_new_log) over (
            partition by {{ partition }} order by happened_at, kind rows between unbounded preceding and current row
        ) as incarnation
    from events

),

positions as (

    select
        *,
        max(landed_offset) over (
            partition by {{ partition }}, incarnation
            order by happened_at, kind rows between unbounded preceding and current row
        ) + 1 as landed_position
    from logs

),

windows as (

    select
        evaluations.happened_at as evaluated_at,
        samples.*,
        sampled.incarnation,
        row_number() over (
            partition by evaluations.happened_at, samples.consumer_group, samples.topic, samples.partition
            order by samples.collected_at
        ) as sample_number,
        case
            -- What landed since the newest sample has landed.
            when samples.collected_at = max(samples.collected_at) over (
                partition by evaluations.happened_at, samples.consumer_group, samples.topic, samples.partition
            )
                then evaluations.landed_position
            else sampled.landed_position
        end as landed_position
    from samples
    inner join positions as sampled
        on
            samples.consumer_group = sampled.consumer_group
            and samples.topic = sampled.topic
            and samples.partition = sampled.partition
            and samples.collected_at = sampled.happened_at
            and sampled.kind = 1
    inner join positions as evaluations
        on
            samples.consumer_group = evaluations.consumer_group
            and samples.topic = evaluations.topic
            and samples.partition = evaluations.partition
            and evaluations.kind = 2
            and samples.collected_at <= evaluations.happened_at
            and samples.collected_at > {{ dbt.dateadd('minute', -var('lag_window_minutes'), 'evaluations.happened_at') }}

),

landed as (

    select
        windows.*,
        -- A partition that was silent before all of this stands where it stood, if
        -- its log is still the same. What landed last is of the newest log it had.
        -- Of a whole log that ends before, nothing has landed: it is a newer one.
        coalesce(
            windows.landed_position,
            case
                when windows.incarnation > 0 or earlier.last_landed_at > windows.collected_at then null
                when windows.log_start_offset = 0 and earlier.last_landed_offset >= windows.log_end_offset then null
                when earlier.landed_offset < windows.log_end_offset then earlier.landed_offset + 1
                else earlier.last_landed_offset + 1
            end
        ) as next_offset
    from windows
    left join {{ ref('landed_offsets') }} as earlier
        on
            windows.evaluated_at = earlier.evaluated_at
            and windows.topic = earlier.topic
            and windows.partition = earlier.partition

),

offset_samples as (

    select
        evaluated_at,
        {{ partition }},
        'landed' as progress,
        sample_number,
        collected_at,
        incarnation,
        next_offset as position,
        log_start_offset,
        coalesce(log_end_offset, next_offset + consumer_lag_offsets) as log_end_offset,
        -- Where nothing ever landed, all that the log holds is outstanding.
        case
            when log_end_offset is null then consumer_lag_offsets
            when coalesce(next_offset, 0) > log_start_offset then log_end_offset - next_offset
            else log_end_offset - log_start_offset
        end as distance,
        consumer_lag_offsets is not null as is_reported
    from landed
    union all
    select
        evaluated_at,
        {{ partition }},
        'committed' as progress,
        sample_number,
        collected_at,
        incarnation,
        committed_offset as position,
        log_start_offset,
        log_end_offset,
        -- A group that never committed has no lag, which is not 0.
        case
            when log_end_offset is null then consumer_lag_offsets
            when committed_offset > log_start_offset then log_end_offset - committed_offset
            when committed_offset is not null then log_end_offset - log_start_offset
        end as distance,
        consumer_lag_offsets is not null as is_reported
    from landed

)

select
    evaluated_at,
    {{ partition }},
    progress,
    cast(sample_number as integer) as sample_number,
    collected_at,
    cast(incarnation as integer) as incarnation,
    position,
    log_start_offset,
    log_end_offset,
    case when distance < 0 then 0 else distance end as lag_events,
    is_reported
from offset_samples
