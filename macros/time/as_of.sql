{# The project's only clock. One value for a whole invocation, so that every
   model of a tick speaks of the same instant. #}
{% macro as_of_instant() -%}
    {%- set given = var('as_of', none) -%}
    {%- if not given -%}
        {{ return(run_started_at.replace(tzinfo=none, microsecond=0)) }}
    {%- endif -%}
    {%- if not modules.re.match('^\\d{4}-\\d{2}-\\d{2}([T ]\\d{2}:\\d{2}(:\\d{2}(\\.\\d{1,6})?)?)?(Z|[+-]\\d{2}:\\d{2})?$', given | string) -%}
        {{ exceptions.raise_compiler_error("as_of must be ISO 8601, such as 2026-01-31T12:00:00Z; it is: " ~ given) }}
    {%- endif -%}
    {%- set instant = modules.datetime.datetime.fromisoformat((given | string).replace('Z', '+00:00')) -%}
    {%- if instant.tzinfo -%}
        {%- set instant = instant.astimezone(modules.pytz.utc).replace(tzinfo=none) -%}
    {%- endif -%}
    {{ return(instant) }}
{%- endmacro %}

{% macro as_of() -%}
    {{ timestamp_literal(as_of_instant()) }}
{%- endmacro %}
