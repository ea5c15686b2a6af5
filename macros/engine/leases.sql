{# The lease by which one run at a time uses a Snowflake account (orchestration/guard.py).
   DuckDB needs none: there it is a lock on a file. The clock is the warehouse's, UTC. #}

{# Inserts the claim of a run, and gives the claims of all others. #}
{% macro claim_lease(lease_id, owner, seconds) -%}
    {%- set columns = ['what', 'machine', 'host', 'flow_run', 'since'] -%}
    {%- set values = [] -%}
    {%- for column in columns -%}{%- do values.append(sql_string(owner[column])) -%}{%- endfor -%}
    {%- if execute -%}
        {%- do run_query(
            'insert into ' ~ monitoring_table('run_leases') ~ ' (lease_id, pid, ' ~ columns | join(', ') ~ ', expires_at) select '
            ~ sql_string(lease_id) ~ ', ' ~ owner['pid'] | int ~ ', ' ~ values | join(', ')
            ~ ", dateadd('second', " ~ seconds | int ~ ', sysdate())'
        ) -%}
    {%- endif -%}
    select lease_id, what, machine, host, pid, flow_run, since, expires_at > sysdate() as is_live
    from {{ monitoring_table('run_leases') }}
    where lease_id <> {{ sql_string(lease_id) }}
{%- endmacro %}

{# Run-operation: deletes the leases with these ids. #}
{% macro end_leases(ids) -%}
    {%- set values = [] -%}
    {%- for id in ids -%}{%- do values.append(sql_string(id)) -%}{%- endfor -%}
    {%- do run_query('delete from ' ~ monitoring_table('run_leases') ~ ' where lease_id in (' ~ values | join(', ') ~ ')') -%}
    {%- do commit_changes() -%}
{%- endmacro %}
