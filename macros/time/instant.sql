{# ISO 8601 text (UTC where it has no offset) as a naive UTC datetime. `name` is the
   variable that it comes from, for the error. #}
{% macro instant(text, name) -%}
    {%- if not modules.re.match('^\\d{4}-\\d{2}-\\d{2}([T ]\\d{2}:\\d{2}(:\\d{2}(\\.\\d{1,6})?)?)?(Z|[+-]\\d{2}:\\d{2})?$', text | string) -%}
        {{ exceptions.raise_compiler_error(name ~ " must be ISO 8601, such as 2026-01-31T12:00:00Z; it is: " ~ text) }}
    {%- endif -%}
    {%- set instant = modules.datetime.datetime.fromisoformat((text | string).replace('Z', '+00:00')) -%}
    {%- if instant.tzinfo -%}
        {%- set instant = instant.astimezone(modules.pytz.utc).replace(tzinfo=none) -%}
    {%- endif -%}
    {{ return(instant) }}
{%- endmacro %}
