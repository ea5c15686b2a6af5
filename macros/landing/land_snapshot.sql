{# Run-operation: appends a collector's `rows`, mappings of column to value, to the
   landing table `table`, collected at `as_of`; a column that a row lacks is NULL. Values
   come from outside: numbers are cast, text is escaped. #}
{% macro land_snapshot(table, rows) -%}
    {%- set columns = {
        'kafka_offsets': [
            'consumer_group', 'topic', 'partition', 'log_start_offset', 'log_end_offset', 'committed_offset',
            'consumer_lag_offsets',
        ],
        'connector_status': ['connector', 'task_id', 'state', 'worker_id', 'trace', 'tasks_max'],
        'collector_runs': ['collector', 'row_count', 'error'],
    }[table] -%}
    {%- set insert = 'insert into ' ~ landing_table(table) ~ ' (collected_at, ' ~ columns | join(', ') ~ ') values ' -%}
    {%- set at = as_of() -%}
    {%- set step = namespace(tuples=[], size=0) -%}
    {%- for row in rows -%}
        {%- set values = [at] -%}
        {%- for column in columns -%}
            {%- set value = row.get(column) -%}
            {%- do values.append('null' if value is none else value | int if value is number else sql_string(value)) -%}
        {%- endfor -%}
        {%- do step.tuples.append('(' ~ values | join(', ') ~ ')') -%}
        {%- set step.size = step.size + step.tuples[-1] | length -%}
        {#- Some 2,000 offsets: Snowflake wants a statement to have less than 1 MB. -#}
        {%- if step.size > 250000 or loop.last -%}
            {%- do run_query(insert ~ step.tuples | join(', ')) -%}
            {%- set step.tuples, step.size = [], 0 -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do commit_changes() -%}
{%- endmacro %}
