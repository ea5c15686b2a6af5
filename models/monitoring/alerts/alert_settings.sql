{%- set minutes = {
    'for': var('alert_for_minutes'), 'keep_firing_for': var('alert_keep_firing_minutes'), 'repeat_after': var('alert_repeat_minutes')
} -%}
-- What dbt knows of the tests that are alerts, as rows. A tick is seldom on the second:
-- what is due within a tenth of the interval is due.
{%- set slack = (var('evaluation_interval_minutes') * 6) | int %}
{%- for node in graph.nodes.values() if node.resource_type == 'test' and 'alert' in node.tags %}
{{ 'union all' if not loop.first }}
select
    '{{ node.name }}' as alert,
    {%- for key, default in minutes.items() %}
    {{ node.config.meta.get(key, default) | int * 60 }} - {{ slack }} as {{ key }}_seconds,
    {%- endfor %}
    {{ sql_string(node.config.meta.get('owner', '')) }} as owner,
    {{ sql_string(node.config.meta.get('channel', '')) }} as channel,
    {{ sql_string(node.config.meta.get('runbook', '')) }} as runbook,
    {{ sql_string(node.tags | reject('equalto', 'alert') | join(' ')) }} as tags,
    {{ sql_string(node.attached_node.split('.')[-1] if node.attached_node else '') }} as model
{%- else %}
select
    cast(null as varchar) as alert, 0 as for_seconds, 0 as keep_firing_for_seconds, 0 as repeat_after_seconds,
    cast(null as varchar) as owner, cast(null as varchar) as channel, cast(null as varchar) as runbook,
    cast(null as varchar) as tags, cast(null as varchar) as model
where 1 = 0
{%- endfor %}
