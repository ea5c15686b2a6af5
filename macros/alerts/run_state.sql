{# What runs remember, in MONITORING.RUN_STATE: the newest `value` of each name. #}

{# Query: one row per name, and always one with the newest evaluation of any alert as
   `evaluated_at`. #}
{% macro run_state() -%}
    select
        newest.evaluated_at,
        states.name,
        states.value
    from (
        select max(run_at) as evaluated_at from {{ monitoring_table('test_results') }} where level is not null
    ) as newest
    left join {{ monitoring_table('run_state') }} as states on 1 = 1
    qualify row_number() over (partition by states.name order by states.stored_at desc nulls last) = 1
{%- endmacro %}

{# On-run-start and on-run-end: notes that somebody built by hand, for the next run must not
   rely on what it built itself. At the start too: an interrupted build comes to no end. #}
{% macro note_build_by_hand() -%}
    {%- set is_ours = var('flow_run', none) is not none -%}
    {%- if execute and not is_ours and flags.WHICH in ('build', 'run', 'seed') and load_relation(monitoring_table('run_state')) -%}
        {%- set is_partial = invocation_args_dict.get('empty') or invocation_args_dict.get('sample') -%}
    insert into {{ monitoring_table('run_state') }} (stored_at, name, value)
    values ({{ as_of() }}, 'built_by_hand {{ invocation_id }}', '{{ "partial" if is_partial else "whole" }}')
    {%- endif -%}
{%- endmacro %}

{# Run-operation: forgets these names. #}
{% macro forget_state(names) -%}
    {%- set values = [] -%}
    {%- for name in names -%}{%- do values.append(sql_string(name)) -%}{%- endfor -%}
    {%- do run_query('delete from ' ~ monitoring_table('run_state') ~ ' where name in (' ~ values | join(', ') ~ ')') -%}
    {%- do commit_changes() -%}
{%- endmacro %}

{# Run-operation: keeps `value` under `name`. The row comes before the older ones go: a run
   that is killed between leaves one too many. `stored_at`: ISO 8601, UTC, of the clock. #}
{% macro remember_state(name, value, stored_at) -%}
    {%- set at = timestamp_literal(instant(stored_at, 'stored_at')) -%}
    {%- set table = monitoring_table('run_state') -%}
    {%- do run_query(
        'insert into ' ~ table ~ ' (stored_at, name, value) values (' ~ at ~ ', ' ~ sql_string(name) ~ ', ' ~ sql_string(value) ~ ')'
    ) -%}
    {%- do run_query('delete from ' ~ table ~ ' where name = ' ~ sql_string(name) ~ ' and (stored_at <> ' ~ at ~ ' or stored_at is null)') -%}
    {%- do commit_changes() -%}
{%- endmacro %}
