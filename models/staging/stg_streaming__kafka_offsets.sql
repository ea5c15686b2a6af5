with

source as (

    select * from {{ source('streaming', 'kafka_offsets') }}

),

kafka_offsets as (

    select
        cast(collected_at as datetime) as collected_at,
        consumer_group,
        topic,
        partition,
        log_start_offset,
        log_end_offset,
        committed_offset,
        consumer_lag_offsets
    from source

)

select * from kafka_offsets
