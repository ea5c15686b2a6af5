{# Run-operation: deletes what is older than its variable allows from the monitoring
   tables and from what the collectors landed, oldest first, a day per statement, and at most `retention_step_days` days of
   each table in a run, of those that have rows: so no statement is large, and the first
   run after a variable was lowered need not do it all. #}
{% macro apply_retention() -%}
    {%- if var('buckets_retention_days') < 30 -%}
        {{ exceptions.raise_compiler_error(
            'buckets_retention_days is ' ~ var('buckets_retention_days') ~ ': the throughput baselines look 29 days back, so at least 30'
        ) }}
    {%- endif -%}
    {%- set tables = {
        'streaming_metrics': ('timestamp', var('metrics_retention_days')),
        'order_event_buckets': ('bucket_start', var('buckets_retention_days')),
    } -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and 'monitoring' in node.tags
            and node.config.materialized == 'incremental' and node.name not in tables -%}
        {%- do tables.update({node.name: ('evaluated_at', var('evaluations_retention_days'))}) -%}
    {%- endfor -%}
    {%- for name in ['kafka_offsets', 'connector_status', 'collector_runs'] if var('snapshots_retention_days') is not none -%}
        {%- do tables.update({name: ('collected_at', var('snapshots_retention_days'))}) -%}
    {%- endfor -%}
    {#- What an open alert is computed from stays for as long as it is open. -#}
    {%- set alerts = load_relation(ref('alerts')) -%}
    {%- set opened_at = run_query('select min(opened_at) from ' ~ alerts ~ ' where resolved_at is null').columns[0].values()[0]
        if alerts is not none else none -%}
    {%- do tables.update({
        'test_results': ('run_at', var('test_results_retention_days')),
        'notifications': ('notified_at', var('test_results_retention_days')),
    }) -%}
    {%- for name, (column, days) in tables.items() -%}
        {%- set table = load_relation(
            landing_table(name) if column == 'collected_at'
            else monitoring_table(name) if name in ['test_results', 'notifications']
            else api.Relation.create(
                database=target.database, schema=var('schema_prefix') ~ 'MONITORING', identifier=name
            )
        ) -%}
        {%- set keep_from = (as_of_instant() - modules.datetime.timedelta(days=days)).replace(hour=0, minute=0, second=0) -%}
        {%- if name in ['test_results', 'notifications'] and opened_at is not none and opened_at < keep_from -%}
            {%- set keep_from = opened_at.replace(hour=0, minute=0, second=0, microsecond=0) -%}
        {%- endif -%}
        {%- set ends = run_query(
            'select distinct ' ~ dbt.dateadd('day', 1, "date_trunc('day', " ~ column ~ ')') ~ ' from ' ~ table
            ~ ' where ' ~ column ~ ' < ' ~ timestamp_literal(keep_from) ~ ' order by 1'
        ).columns[0].values() if table is not none else [] -%}
        {%- set now = ends[:var('retention_step_days')] -%}
        {%- for end in now -%}
            {%- do run_query('delete from ' ~ table ~ ' where ' ~ column ~ ' < ' ~ timestamp_literal(end)) -%}
            {%- do commit_changes() -%}
        {%- endfor -%}
        {%- if now -%}
            {{ log(name ~ ': deleted what is from before ' ~ (now | last).date() ~ (
                '' if now | length == ends | length else ' (due up to ' ~ keep_from.date() ~ '; the next run goes on)'
            ), info=true) }}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}
