{{ config(unique_key='timestamp') }}

{%- set lag = {'consumer_group': 'consumer_group', 'topic': 'topic', 'partition': 'partition',
               'state': 'state', 'lag_method': 'lag_method'} -%}
{%- set connector = {'connector': 'connector', 'task_id': 'task_id', 'state': 'state'} -%}
{%- set metrics = [
    ('consumer_lag_events', 'consumer_lag', 'lag_events', lag),
    ('consumer_lag_seconds', 'consumer_lag', 'lag_seconds', lag),
    ('committed_lag_events', 'consumer_lag', 'committed_lag_events', lag),
    ('events_per_minute', 'throughput', 'events_per_minute', {'topic': 'topic'}),
    ('baseline_events_per_minute', 'throughput', 'baseline_events_per_minute', {'topic': 'topic'}),
    ('latency_p50_seconds', 'end_to_end_latency', 'p50_seconds', {'topic': 'topic'}),
    ('latency_p95_seconds', 'end_to_end_latency', 'p95_seconds', {'topic': 'topic'}),
    ('latency_p99_seconds', 'end_to_end_latency', 'p99_seconds', {'topic': 'topic'}),
    ('latency_max_seconds', 'end_to_end_latency', 'max_seconds', {'topic': 'topic'}),
    ('connector_running', 'connector_health', "case when state = 'RUNNING' then 1 else 0 end", connector),
    ('collector_failed_runs', 'collector_health', 'failed_runs', {'collector': 'collector'}),
    ('pending_records', 'transform_backlog', 'pending_records', {}),
    ('rejected_records', 'record_quality', 'rejected_records', {'topic': 'topic'}),
    ('late_records', 'record_quality', 'late_records', {'topic': 'topic'}),
    ('unexpected_records', 'record_quality', 'unexpected_records', {'topic': 'topic'}),
    ('missing_records', 'record_completeness', 'missing_records', {'topic': 'topic', 'partition': 'partition'}),
    ('offset_gaps', 'record_completeness', 'offset_gaps', {'topic': 'topic', 'partition': 'partition'}),
    ('oldest_pending_seconds', 'transform_backlog', 'oldest_pending_seconds', {}),
] -%}

with

marks as (

    select * from {{ ref('evaluation_marks') }}

),

streaming_metrics as (
    {% for metric_type, model, value, labels in metrics %}
    select
        evaluated_at as timestamp,
        '{{ metric_type }}' as metric_type,
        cast({{ value }} as double) as metric_value,
        {{ variant_object(labels) if labels else 'cast(null as variant)' }} as metadata
    from {{ ref(model) }}
    where evaluated_at in (select marks.evaluated_at from marks)
    {{ 'union all' if not loop.last }}
    {%- endfor %}

)

select * from streaming_metrics
