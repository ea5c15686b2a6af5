{# Run-operation: continues the generated order stream up to `until` (ISO 8601
   UTC; default `as_of`) in the landing tables, as the Snowflake sink connector and
   the collectors would write it. It goes on where its last snapshot ends, or
   begins `history_days` before `until`. For demonstration and tests: the rest of
   the project does not know it.
     orders_per_day     about four events each
     seed               the same seed gives the same stream
     stalled_partition  lands nothing in this stretch; the next one releases it
     failed_task        this task of the connector has failed #}
{% macro generate_stream(
    until=none, history_days=7, orders_per_day=20000, seed=1, stalled_partition=none, failed_task=none
) -%}
    {%- if adapter.type() != 'duckdb' and not var('allow_generated_events', false) -%}
        {{ exceptions.raise_compiler_error(
            "generate_stream writes invented orders into " ~ landing_table('order_events')
            ~ ". If that is what you want here, pass --vars '{allow_generated_events: true}'."
        ) }}
    {%- endif -%}
    {%- set expected = run_query(
        'select t.topic, t.partitions, t.consumer_group, t.connector, c.tasks from '
        ~ api.Relation.create(database=target.database, schema=var('schema_prefix') ~ 'MONITORING', identifier='expected_topics')
        ~ ' as t inner join '
        ~ api.Relation.create(database=target.database, schema=var('schema_prefix') ~ 'MONITORING', identifier='expected_connectors')
        ~ ' as c on t.connector = c.connector order by t.topic'
    ).rows[0] -%}
    {%- set options = {
        'topic': expected[0], 'partitions': expected[1] | int, 'consumer_group': expected[2], 'connector': expected[3],
        'tasks': (expected[4] or 1) | int, 'orders_per_day': orders_per_day, 'seed': seed,
        'stalled_partition': stalled_partition, 'failed_task': failed_task,
    } -%}
    {%- set to_ms = epoch_ms(modules.datetime.datetime.fromisoformat(until) if until else as_of_instant()) -%}
    {%- set last = run_query(
        "select max(collected_at) from " ~ landing_table('kafka_offsets') ~ " where topic = '" ~ options.topic ~ "'"
    ).rows[0][0] -%}
    {%- set from_ms = epoch_ms(last) if last else to_ms - (history_days * 86400000) | int -%}
    {%- if from_ms >= to_ms -%}
        {{ return(log('The stream already reaches to ' ~ last ~ ' UTC: nothing landed.', info=true)) }}
    {%- endif -%}
    {%- do run_query('create or replace temporary table generated_order_events as ' ~ generated_order_events(from_ms, to_ms, options)) -%}
    {%- do run_query(land_order_events(to_ms)) -%}
    {%- do run_query(land_kafka_offsets(from_ms, to_ms, options)) -%}
    {%- do run_query(land_connector_status(from_ms, to_ms, options)) -%}
    {%- set landed = run_query(
        'select count(*) from generated_order_events where push_time_ms <= ' ~ to_ms
    ).rows[0][0] -%}
    {%- do run_query('drop table generated_order_events') -%}
    {%- do commit_changes() -%}
    {{ log('landed ' ~ landed ~ ' order events up to ' ~ modules.datetime.datetime.fromtimestamp(to_ms / 1000, modules.pytz.utc).strftime('%Y-%m-%d %H:%M:%S') ~ ' UTC', info=true) }}
{%- endmacro %}
