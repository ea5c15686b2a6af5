{# Creates the schemas, and the tables of STREAMING and for the alerts that are missing. One that is there
   gets the columns that a later version of the project has added to it, empty; nothing
   else of it is altered: the connector and the collectors own them. #}
{% macro create_landing_tables() -%}
    {%- do check_session() -%}
    {%- set instant = 'datetime' -%}
    {%- set payload = [] -%}
    {%- for field, kind in var('payload_fields').items() -%}
        {%- do payload.append(field ~ (' decimal(18, 2)' if kind == 'number' else ' varchar')) -%}
    {%- endfor -%}
    {%- set tables = {
        'order_events': 'record_metadata variant, '
            ~ ('record_content variant' if var('payload_layout') == 'record_content' else payload | join(', ')),
        'kafka_offsets': 'collected_at ' ~ instant ~ ', consumer_group varchar, topic varchar, partition integer, '
            ~ 'log_start_offset bigint, log_end_offset bigint, committed_offset bigint, consumer_lag_offsets bigint',
        'connector_status': 'collected_at ' ~ instant ~ ', connector varchar, task_id integer, state varchar, '
            ~ 'worker_id varchar, trace varchar, tasks_max integer',
        'collector_runs': 'collected_at ' ~ instant ~ ', collector varchar, row_count integer, error varchar',
    } -%}
    {#- Asked for first: CREATE ... IF NOT EXISTS wants the privilege even where it has nothing to do. -#}
    {%- set schemas = [var('landing_schema'), var('schema_prefix') ~ 'ANALYTICS', var('schema_prefix') ~ 'MONITORING'] -%}
    {%- for name in schemas if not adapter.check_schema_exists(target.database, name) %}
        {%- do adapter.create_schema(api.Relation.create(database=target.database, schema=name)) %}
    {%- endfor %}
    {%- set kept = {
        'test_results': 'run_at ' ~ instant ~ ', run_id varchar, flow_run varchar, node varchar, resource_type varchar, '
            ~ 'status varchar, level integer, row_count integer, open_level integer, open_count integer, '
            ~ 'failing_rows variant, meta variant',
        'notifications': 'notified_at ' ~ instant ~ ', receiver varchar, channel varchar, alert varchar, opened_at ' ~ instant
            ~ ', last_seen_at ' ~ instant ~ ', kind varchar, level integer, outcome varchar, reference varchar, problem varchar',
        'run_leases': 'lease_id varchar, what varchar, machine varchar, host varchar, pid integer, flow_run varchar, '
            ~ 'since varchar, expires_at ' ~ instant,
        'run_state': 'stored_at ' ~ instant ~ ', name varchar, value varchar',
    } -%}
    {%- for name, columns in kept.items() %}
        {%- set table = monitoring_table(name) %}
        {%- if adapter.get_relation(table.database, table.schema, table.identifier) is none %}
            {%- do run_query('create table if not exists ' ~ table ~ ' (' ~ columns ~ ')') %}
        {%- endif %}
    {%- endfor %}
    {%- set added = {'kafka_offsets': 'consumer_lag_offsets bigint', 'connector_status': 'tasks_max integer'} -%}
    {%- for name, columns in tables.items() %}
        {%- set table = landing_table(name) %}
        {%- set found = adapter.get_relation(table.database, table.schema, table.identifier) %}
        {%- if found is none %}
            {%- do run_query('create table if not exists ' ~ table ~ ' (' ~ columns ~ ')') %}
        {%- elif name in added
            and added[name].split()[0] not in adapter.get_columns_in_relation(found) | map(attribute='name') | map('lower') %}
            {%- do run_query('alter table ' ~ table ~ ' add column ' ~ added[name]) %}
        {%- endif %}
    {%- endfor %}
    {%- do commit_changes() %}
{%- endmacro %}
