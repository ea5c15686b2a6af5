{{ config(materialized='view') }}

with

marks as (

    select * from {{ ref('evaluation_marks') }}

),

landed as (

    select * from {{ ref('landed_offsets') }}

),

samples as (

    select
        marks.evaluated_at,
        offsets.consumer_group,
        offsets.topic,
        offsets.partition,
        offsets.collected_at,
        offsets.log_start_offset,
        offsets.log_end_offset,
        offsets.committed_offset,
        coalesce(landed.landed_offset + 1, offsets.log_start_offset) as next_offset
    from marks
    inner join {{ ref('stg_streaming__kafka_offsets') }} as offsets
        on
            marks.evaluated_at >= offsets.collected_at
            and {{ dbt.dateadd('minute', -var('lag_window_minutes'), 'marks.evaluated_at') }} < offsets.collected_at
    left join landed
        on
            marks.evaluated_at = landed.evaluated_at
            and offsets.topic = landed.topic
            and offsets.partition = landed.partition

),

-- `before_` and `after_`: the two samples round the moment at which the log's
-- end passed the landed offset.
movements as (

    select
        evaluated_at,
        consumer_group,
        topic,
        partition,
        min(log_end_offset) as lowest_log_end_offset,
        max(log_end_offset) as highest_log_end_offset,
        max(committed_offset) as highest_committed_offset,
        max(case when log_end_offset <= next_offset then collected_at end) as before_at,
        max(case when log_end_offset <= next_offset then log_end_offset end) as before_offset,
        min(case when log_end_offset > next_offset then collected_at end) as after_at,
        min(case when log_end_offset > next_offset then log_end_offset end) as after_offset
    from samples
    group by 1, 2, 3, 4

),

newest_samples as (

    select *
    from samples
    qualify row_number() over (
        partition by evaluated_at, consumer_group, topic, partition order by collected_at desc
    ) = 1

),

broker_offsets as (

    select
        newest_samples.evaluated_at,
        newest_samples.consumer_group,
        newest_samples.topic,
        newest_samples.partition,
        newest_samples.collected_at,
        max(newest_samples.collected_at) over (
            partition by newest_samples.evaluated_at, newest_samples.consumer_group, newest_samples.topic
        ) as topic_collected_at,
        newest_samples.log_start_offset,
        newest_samples.log_end_offset,
        newest_samples.committed_offset,
        movements.highest_log_end_offset > movements.lowest_log_end_offset as is_produced_to,
        newest_samples.log_end_offset < movements.highest_log_end_offset
        or coalesce(newest_samples.committed_offset < movements.highest_committed_offset, false) as is_rewound,
        movements.before_at is null and movements.after_at is not null as is_produced_before_window,
        case
            when movements.before_at is null then movements.after_at
            else {{ dbt.dateadd(
                'second',
                'cast(floor(' ~ dbt.datediff('movements.before_at', 'movements.after_at', 'second')
                ~ ' * cast(newest_samples.next_offset - movements.before_offset as double)'
                ~ ' / (movements.after_offset - movements.before_offset)) as bigint)',
                'movements.before_at'
            ) }}
        end as produced_at
    from newest_samples
    inner join movements
        on
            newest_samples.evaluated_at = movements.evaluated_at
            and newest_samples.consumer_group = movements.consumer_group
            and newest_samples.topic = movements.topic
            and newest_samples.partition = movements.partition

)

select * from broker_offsets
