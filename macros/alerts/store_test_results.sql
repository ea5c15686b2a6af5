{# On-run-end: appends what every test of a build found, and which models, seeds and
   sources failed or were skipped, to TEST_RESULTS, in one statement. Of an alert's rows
   that are bad it takes the worst `alert_rows_kept`, those that nothing mutes first.
   One without any row, healthy ones neither, is an error, as for dbt: nothing was measured. #}
{% macro store_test_results(results) -%}
    {#- An empty or sampled build judges nothing. -#}
    {%- if not execute or flags.WHICH not in ('build', 'test') or invocation_args_dict.get('empty') or invocation_args_dict.get('sample') -%}
        {{ return('') }}
    {%- endif -%}
    {%- set selects = [] -%}
    {%- for result in results
        if result.node.resource_type == 'test'
        or (result.node.resource_type in ('model', 'seed', 'source') and result.status | string not in ('success', 'pass')) -%}
        {%- set node, status = result.node, result.status | string -%}
        {%- set is_judged = 'alert' in node.tags and status in ('pass', 'warn', 'fail') -%}
        {%- set row = variant_object({
            'entity': 'entity', 'level': 'level', 'measured': 'measured', 'allowed': 'allowed',
            'since': 'left(cast(since as varchar), 19)', 'detail': 'detail', 'muted_by': 'muted_by',
        }) -%}
        {%- set stored = api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias) -%}
        {%- set select -%}
            select
                {{ as_of() }}, '{{ invocation_id }}', {{ sql_string(var('flow_run', '')) }}, '{{ node.name }}',
                '{{ node.resource_type }}', '{{ status }}',
                {% if is_judged -%}
                coalesce(max(level), 2),
                count(case when level > 0 then 1 end),
                coalesce(max(case when muted_by is null then level else 0 end), 2),
                count(case when level > 0 and muted_by is null then 1 end),
                (
                    select {{ variant_list(row, 'place') }}
                    from (
                        select
                            *,
                            row_number() over (
                                order by case when muted_by is null then level else 0 end desc, level desc, measured_value desc nulls last, entity
                            ) as place
                        from {{ stored }}
                        where level > 0
                    ) as bad_rows
                    where place <= {{ var('alert_rows_kept') }}
                ),
                {%- else -%}
                cast(null as integer), {{ 'cast(null as integer)' if result.failures is none else result.failures | int }},
                cast(null as integer), cast(null as integer), cast(null as variant),
                {%- endif %}
                {{ json_to_variant(tojson(node.config.meta or {})) }}
            {{ 'from ' ~ stored if is_judged }}
        {%- endset -%}
        {%- do selects.append(select) -%}
    {%- endfor -%}
    {%- if selects %}
    insert into {{ monitoring_table('test_results') }} (
        run_at, run_id, flow_run, node, resource_type, status, level, row_count, open_level, open_count, failing_rows, meta
    )
    {{ selects | join(' union all ') }}
    {%- endif %}
{%- endmacro %}
