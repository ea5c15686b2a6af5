{# Lands a snapshot of the generated topic's offsets at every five-minute mark
   after `from_ms` and at `to_ms`, as a collector would have. #}
{% macro land_kafka_offsets(from_ms, to_ms, options) -%}
    insert into {{ landing_table('kafka_offsets') }} (
        collected_at, consumer_group, topic, partition, log_start_offset, log_end_offset, committed_offset
    )
    with

    partitions as (

        select
            cast(spine.n as integer) as partition,
            coalesce(max(previous.log_end_offset), 0) as log_end_offset,
            max(previous.committed_offset) as committed_offset
        from {{ numbers(options.partitions) }} as spine
        left join {{ landing_table('kafka_offsets') }} as previous
            on spine.n = previous.partition and previous.topic = '{{ options.topic }}'
        group by 1

    ),

    marks as (

        select {{ to_ms }} as mark_ms
        union
        select ({{ from_ms // 300000 + 1 }} + n) * 300000 as mark_ms
        from {{ numbers((to_ms - from_ms) // 300000 + 1) }} as spine
        where ({{ from_ms // 300000 + 1 }} + n) * 300000 <= {{ to_ms }}

    ),

    produced as (

        select
            partition,
            least(cast(ceil(create_time_ms / 300000.0) as bigint) * 300000, {{ to_ms }}) as mark_ms,
            max(kafka_offset) + 1 as log_end_offset
        from generated_order_events
        group by 1, 2

    ),

    -- The group commits up to half a minute after the push.
    committed as (

        select
            partition,
            cast(ceil((push_time_ms + 30000) / 300000.0) as bigint) * 300000 as mark_ms,
            max(kafka_offset) + 1 as committed_offset
        from generated_order_events
        where push_time_ms <= {{ to_ms }}
        group by 1, 2

    )

    select
        {{ epoch_ms_to_timestamp('marks.mark_ms') }},
        '{{ options.consumer_group }}',
        '{{ options.topic }}',
        partitions.partition,
        0,
        greatest(partitions.log_end_offset, coalesce(max(produced.log_end_offset) over (
            partition by partitions.partition order by marks.mark_ms rows unbounded preceding
        ), 0)),
        coalesce(max(committed.committed_offset) over (
            partition by partitions.partition order by marks.mark_ms rows unbounded preceding
        ), partitions.committed_offset)
    from marks
    cross join partitions
    left join produced on partitions.partition = produced.partition and marks.mark_ms = produced.mark_ms
    left join committed on partitions.partition = committed.partition and marks.mark_ms = committed.mark_ms
{%- endmacro %}
