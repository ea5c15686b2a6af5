{# Run-operation: appends what came of sending `rows` to NOTIFICATIONS: receiver, channel,
   alert, opened_at, last_seen_at, kind, level, outcome, reference and problem, the last two from outside. #}
{% macro record_notifications(rows) -%}
    {%- set tuples = [] -%}
    {%- for row in rows -%}
        {%- set texts = [] -%}
        {%- for column in ['receiver', 'channel', 'alert', 'kind', 'outcome', 'reference', 'problem'] -%}
            {%- do texts.append('null' if row[column] is none else sql_string(row[column])) -%}
        {%- endfor -%}
        {%- do tuples.append(
            '(' ~ as_of() ~ ', ' ~ timestamp_literal(row['opened_at']) ~ ', ' ~ timestamp_literal(row['last_seen_at'])
            ~ ', ' ~ row['level'] | int ~ ', ' ~ texts | join(', ') ~ ')'
        ) -%}
    {%- endfor -%}
    {%- do run_query(
        'insert into ' ~ monitoring_table('notifications')
        ~ ' (notified_at, opened_at, last_seen_at, level, receiver, channel, alert, kind, outcome, reference, problem) values ' ~ tuples | join(', ')
    ) -%}
    {%- do commit_changes() -%}
{%- endmacro %}
