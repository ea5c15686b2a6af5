{# Creates the schemas, and the tables that run-operations write to, of STREAMING and
   MONITORING. One that is there gets the columns that a later version of the project
   has added; nothing else of it is altered. The connector alone adds columns to its own
   table. #}
{% macro create_landing_tables() -%}
    {%- do check_session() -%}
    {%- set payload = {'record_metadata': 'variant'} -%}
    {%- if var('payload_layout') == 'record_content' -%}
        {%- do payload.update({'record_content': 'variant'}) -%}
    {%- else -%}
        {%- for field, kind in var('payload_fields').items() -%}
            {%- do payload.update({field: 'decimal(18, 2)' if kind == 'number' else 'varchar'}) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- set landing = {
        'kafka_offsets': {
            'collected_at': 'datetime', 'consumer_group': 'varchar', 'topic': 'varchar', 'partition': 'integer',
            'log_start_offset': 'bigint', 'log_end_offset': 'bigint', 'committed_offset': 'bigint',
            'consumer_lag_offsets': 'bigint',
        },
        'connector_status': {
            'collected_at': 'datetime', 'connector': 'varchar', 'task_id': 'integer', 'state': 'varchar',
            'worker_id': 'varchar', 'trace': 'varchar', 'tasks_max': 'integer',
        },
        'collector_runs': {
            'collected_at': 'datetime', 'collector': 'varchar', 'row_count': 'integer', 'error': 'varchar',
        },
    } -%}
    {%- set monitoring = {
        'test_results': {
            'run_at': 'datetime', 'run_id': 'varchar', 'flow_run': 'varchar', 'node': 'varchar',
            'resource_type': 'varchar', 'status': 'varchar', 'level': 'integer', 'row_count': 'integer',
            'open_level': 'integer', 'open_count': 'integer', 'failing_rows': 'variant', 'meta': 'variant',
        },
        'notifications': {
            'notified_at': 'datetime', 'receiver': 'varchar', 'channel': 'varchar', 'alert': 'varchar',
            'opened_at': 'datetime', 'last_seen_at': 'datetime', 'kind': 'varchar', 'level': 'integer',
            'outcome': 'varchar', 'reference': 'varchar', 'problem': 'varchar',
        },
        'run_leases': {
            'lease_id': 'varchar', 'what': 'varchar', 'machine': 'varchar', 'host': 'varchar', 'pid': 'integer',
            'flow_run': 'varchar', 'since': 'varchar', 'expires_at': 'datetime',
        },
        'run_state': {'stored_at': 'datetime', 'name': 'varchar', 'value': 'varchar'},
    } -%}
    {%- set schemas = [var('landing_schema'), var('schema_prefix') ~ 'ANALYTICS', var('schema_prefix') ~ 'MONITORING'] -%}
    {%- set found = found_columns(schemas) -%}
    {%- for name in schemas if name | upper not in found %}
        {%- do adapter.create_schema(api.Relation.create(database=target.database, schema=name)) %}
    {%- endfor %}
    {%- do ensure_table(landing_table('order_events'), payload, found, add_columns=false) -%}
    {%- for name, columns in landing.items() %}
        {%- do ensure_table(landing_table(name), columns, found) -%}
    {%- endfor %}
    {%- for name, columns in monitoring.items() %}
        {%- do ensure_table(monitoring_table(name), columns, found) -%}
    {%- endfor %}
    {%- do commit_changes() %}
{%- endmacro %}
