{%- set span = evaluation_span(ref('evaluation_marks')) -%}
{%- set hour = modules.datetime.timedelta(hours=1) -%}

with

marks as (

    select * from {{ ref('evaluation_marks') }}

),

topics as (

    select distinct topic from {{ ref('expected_topics') }}

),

records as (

    select
        coalesce(topic, '(none)') as topic,
        loaded_at,
        rejected_reason,
        case when rejected_reason is null then unexpected end as unexpected,
        {{ dbt.datediff('event_at', 'landed_at', 'second') }} > {{ var('late_arrival_minutes') }} * 60 as is_late
    from {{ ref('order_event_records') }}
    where
        loaded_at > {{ timestamp_literal(span.first - hour) }}
        and loaded_at <= {{ timestamp_literal(span.last) }}

),

-- A topic that nobody listed has its row once a record of it is loaded.
all_topics as (

    select topic from topics
    union
    select topic from records

),

record_quality as (

    select
        marks.evaluated_at,
        all_topics.topic,
        count(records.topic) as record_count,
        count(records.rejected_reason) as rejected_records,
        100 * avg(case
            when records.rejected_reason is not null then cast(1 as double)
            when records.topic is not null then 0
        end) as rejected_pct,
        count(case when records.is_late then 1 end) as late_records,
        count(records.unexpected) as unexpected_records,
        count(distinct records.unexpected) as unexpected_kinds,
        min(records.unexpected) as unexpected_example
    from marks
    cross join all_topics
    left join records
        on
            all_topics.topic = records.topic
            and marks.evaluated_at >= records.loaded_at
            and {{ dbt.dateadd('hour', -1, 'marks.evaluated_at') }} < records.loaded_at
    group by marks.evaluated_at, all_topics.topic

)

select
    evaluated_at,
    topic,
    cast(record_count as bigint) as record_count,
    cast(rejected_records as bigint) as rejected_records,
    cast(coalesce(rejected_pct, 0) as double) as rejected_pct,
    cast(late_records as bigint) as late_records,
    cast(unexpected_records as bigint) as unexpected_records,
    cast(unexpected_kinds as bigint) as unexpected_kinds,
    unexpected_example
from record_quality
