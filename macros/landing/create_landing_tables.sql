{# Creates the schemas and the STREAMING tables that are missing; never alters
   one that is there: the connector and the collectors own them. #}
{% macro create_landing_tables() -%}
    {%- set instant = dbt.type_timestamp() -%}
    {%- set tables = {
        'order_events': 'record_metadata variant, record_content variant',
        'kafka_offsets': 'collected_at ' ~ instant ~ ', consumer_group varchar, topic varchar, partition integer, '
            ~ 'log_start_offset bigint, log_end_offset bigint, committed_offset bigint',
        'connector_status': 'collected_at ' ~ instant ~ ', connector varchar, task_id integer, state varchar, '
            ~ 'worker_id varchar, trace varchar',
    } -%}
    {%- for name in ['STREAMING', 'ANALYTICS', 'MONITORING'] %}
        {%- do adapter.create_schema(api.Relation.create(database=target.database, schema=var('schema_prefix') ~ name)) %}
    {%- endfor %}
    {%- for name, columns in tables.items() %}
        {%- do run_query('create table if not exists ' ~ landing_table(name) ~ ' (' ~ columns ~ ')') %}
    {%- endfor %}
    {%- do adapter.commit() if adapter.type() == 'duckdb' %}
{%- endmacro %}
