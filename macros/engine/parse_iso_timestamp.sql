{# Only text that begins like a date is cast: DuckDB also takes 'infinity' and
   'epoch', Snowflake takes bare epoch numbers. An instant outside the years 1970 to
   9998 is a mistake, and not every reader of the tables can hold it. #}
{% macro parse_iso_timestamp(text) -%}
    {%- set instant = adapter.dispatch('parse_iso_timestamp')(text) -%}
    case
        when
            {{ text }} like '____-__-__%'
            and {{ instant }} between {{ timestamp_literal('1970-01-01') }} and {{ timestamp_literal('9998-12-31') }}
            then {{ instant }}
    end
{%- endmacro %}

{% macro duckdb__parse_iso_timestamp(text) -%}
    cast(try_cast({{ text }} as timestamptz) at time zone 'UTC' as timestamp)
{%- endmacro %}

{# Without an offset in the text the instant is UTC, whatever the session. Microseconds,
   as everywhere: event_key sorts by them. #}
{% macro snowflake__parse_iso_timestamp(text) -%}
    cast(case
        when regexp_like({{ text }}, '.*:.*(Z|[+-][0-9]{2}(:?[0-9]{2})?)')
            then to_timestamp_ntz(convert_timezone('UTC', try_to_timestamp_tz({{ text }})))
        else try_to_timestamp_ntz({{ text }})
    end as timestamp_ntz(6))
{%- endmacro %}
