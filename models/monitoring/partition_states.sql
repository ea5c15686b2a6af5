{{ config(materialized='view') }}

{%- set partition = 'evaluated_at, consumer_group, topic, partition, progress' %}

with

-- A log that began anew is judged by its own samples only.
samples as (

    select
        *,
        min(incarnation) over (partition by {{ partition }}) < incarnation as is_new_log,
        lag(collected_at) over (partition by {{ partition }} order by sample_number) as earlier_collected_at,
        max(sample_number) over (partition by {{ partition }}) as newest_number
    from {{ ref('offset_samples') }}
    qualify incarnation = max(incarnation) over (partition by {{ partition }})

),

neighbours as (

    select
        *,
        -- What the broker has deleted meanwhile, nobody waits for.
        case when log_start_offset > coalesce(position, -1) then log_start_offset else position end as next_offset,
        -- A position beyond the log's end is one of the log before: passed over.
        lag(case when position > log_end_offset then null else position end) over (
            partition by {{ partition }}, position is null or position > log_end_offset order by sample_number
        ) as previous_position,
        lead(log_end_offset) over (partition by {{ partition }} order by sample_number) as later_log_end_offset,
        lead(collected_at) over (partition by {{ partition }} order by sample_number) as later_collected_at,
        -- Samples without a lag are passed over.
        lag(lag_events) over (partition by {{ partition }}, lag_events is null order by sample_number) as previous_lag,
        first_value(position) over (partition by {{ partition }} order by sample_number desc) as newest_position,
        first_value(log_end_offset) over (partition by {{ partition }} order by sample_number desc) as newest_end
    from samples

),

steps as (

    select
        *,
        -- Of the records that wait the oldest, but for those that may.
        first_value(next_offset) over (partition by {{ partition }} order by sample_number desc)
        + {{ var('allowed_lag_events') }} as sought_offset,
        -- The last sample before the position became what it is; and the first drop.
        max(case when position is distinct from newest_position then sample_number end)
            over (partition by {{ partition }}) as moved_number,
        max(case when lag_events <= {{ var('allowed_lag_events') }} then sample_number end)
            over (partition by {{ partition }}) as caught_up_number,
        max(case when log_end_offset is distinct from newest_end then sample_number end)
            over (partition by {{ partition }}) as grown_number,
        min(case when position < previous_position then sample_number end)
            over (partition by {{ partition }}) as rewind_number
    from neighbours

),

-- When the log's end passed the offset that is sought: the newest pair of samples
-- with it in between.
brackets as (

    select
        *,
        max(case when log_end_offset <= sought_offset and later_log_end_offset >= sought_offset then sample_number end)
            over (partition by {{ partition }}) as bracket_number
    from steps

),

windows as (

    select
        {{ partition }},
        count(*) as sample_count,
        min(collected_at) as first_at,
        max(collected_at) as collected_at,
        max(case when is_new_log then 1 else 0 end) = 1 as is_new_log,
        min(case when is_new_log then earlier_collected_at end) as born_after,
        max(case when is_reported then 1 else 0 end) = 1 as is_reported,
        max(sought_offset) as sought_offset,
        max(newest_position) as position,
        max(case when sample_number = newest_number then log_start_offset end) as log_start_offset,
        max(case when sample_number = newest_number then log_end_offset end) as log_end_offset,
        max(case when sample_number = newest_number then lag_events end) as lag_events,
        min(log_end_offset) as first_log_end_offset,
        max(case when sample_number < newest_number then position end) as earlier_position,
        min(case when sample_number > coalesce(moved_number, 0) then collected_at end) as stands_since,
        min(case when sample_number > coalesce(grown_number, 0) then collected_at end) as end_stands_since,
        max(case when moved_number is not null then 1 else 0 end) = 1 as is_moving,
        min(lag_events) as least_lag,
        min(case when sample_number > coalesce(caught_up_number, 0) then collected_at end) as waits_since,
        max(case when lag_events < previous_lag then 1 else 0 end) = 1 as is_falling,
        max(case when sample_number = rewind_number then previous_position end) as rewound_from,
        max(case when sample_number >= rewind_number and position <= log_end_offset then position end)
            as highest_since_rewind,
        max(case when sample_number = bracket_number then log_end_offset end) as before_offset,
        max(case when sample_number = bracket_number then later_log_end_offset end) as after_offset,
        max(case when sample_number = bracket_number then collected_at end) as before_at,
        max(case when sample_number = bracket_number then later_collected_at end) as after_at
    from brackets
    group by {{ partition }}

),

ages as (

    select
        *,
        log_end_offset > first_log_end_offset as is_produced_to,
        lag_events > {{ var('allowed_lag_events') }} and before_offset is null and not is_new_log as is_older_than_window,
        -- A topic that was made anew is told once, and for as long as nothing of it is read.
        is_new_log and (sample_count = 1 or position is null) as is_begun_anew,
        -- As far as the samples tell: what came since the newest, nobody has looked at.
        {{ dbt.datediff('stands_since', 'collected_at', 'second') }} as standing_seconds,
        {{ dbt.datediff('waits_since', 'collected_at', 'second') }} as waiting_seconds,
        {{ dbt.datediff('end_stands_since', 'collected_at', 'second') }} as log_end_standing_seconds,
        {{ dbt.datediff('first_at', 'stands_since', 'second') }} as moving_seconds,
        case
            when after_offset > before_offset
                then
                    {{ dbt.datediff('after_at', 'evaluated_at', 'second') }}
                    + {{ dbt.datediff('before_at', 'after_at', 'second') }}
                    * (cast(after_offset - sought_offset as double) / (after_offset - before_offset))
            -- It was passed before the window: the trend of the whole of it goes on
            -- backwards.
            when log_end_offset > first_log_end_offset
                then
                    {{ dbt.datediff('collected_at', 'evaluated_at', 'second') }}
                    + {{ dbt.datediff('first_at', 'collected_at', 'second') }}
                    * (cast(log_end_offset - sought_offset as double) / (log_end_offset - first_log_end_offset))
            else {{ dbt.datediff('first_at', 'evaluated_at', 'second') }}
        end as outstanding_seconds
    from windows

),

lags as (

    select
        *,
        case
            when lag_events <= {{ var('allowed_lag_events') }} then 0
            -- What a new log holds is no older than the last sample of the one before.
            when lag_events is not null and outstanding_seconds > {{ dbt.datediff('born_after', 'evaluated_at', 'second') }}
                then {{ dbt.datediff('born_after', 'evaluated_at', 'second') }}
            when lag_events > 0 then cast(floor(outstanding_seconds) as bigint)
        end as lag_seconds
    from ages

),

partition_states as (

    select
        evaluated_at,
        consumer_group,
        topic,
        partition,
        progress,
        collected_at,
        position,
        log_start_offset,
        log_end_offset,
        lag_events,
        lag_seconds,
        is_older_than_window,
        is_produced_to,
        log_end_standing_seconds,
        is_reported,
        case
            when lag_events is null then 'UNKNOWN'
            when position > log_end_offset and earlier_position > log_end_offset then 'REWIND'
            when is_begun_anew and lag_events = 0 then 'REWIND'
            when lag_events <= {{ var('allowed_lag_events') }} and is_produced_to then 'OK'
            when lag_events <= {{ var('allowed_lag_events') }} then 'IDLE'
            when
                standing_seconds >= {{ var('stalled_after_minutes') }} * 60
                and (
                    lag_seconds >= {{ var('stalled_after_minutes') }} * 60
                    -- What retention leaves may be young, and never be read.
                    or (position < log_start_offset and waiting_seconds >= {{ var('stalled_after_minutes') }} * 60)
                )
                then case when standing_seconds > moving_seconds then 'STOP' else 'STALL' end
            when is_begun_anew then 'REWIND'
            when highest_since_rewind < rewound_from then 'REWIND'
            when least_lag <= {{ var('allowed_lag_events') }} or is_falling then 'OK'
            when is_moving and sample_count >= 3 and lag_seconds > {{ var('lagging_after_seconds') }} then 'WARN'
            else 'OK'
        end as state
    from lags

)

select * from partition_states
