{# What a VARIANT holds: text, number, or in upper case whatever else the engine
   calls it (ARRAY, OBJECT, BOOLEAN ...); NULL for a null value or none. #}
{% macro variant_kind(value) -%}
    {{ return(adapter.dispatch('variant_kind')(value)) }}
{%- endmacro %}

{% macro duckdb__variant_kind(value) -%}
    case
        when variant_type({{ value }}) = 'VARCHAR' then 'text'
        when variant_type({{ value }}) in ('DECIMAL', 'DOUBLE', 'FLOAT') or variant_type({{ value }}) like '%INT%' then 'number'
        when variant_type({{ value }}) like 'BOOL%' then 'BOOLEAN'
        when variant_type({{ value }}) <> 'VARIANT_NULL' then variant_type({{ value }})
    end
{%- endmacro %}

{% macro snowflake__variant_kind(value) -%}
    case
        when typeof({{ value }}) = 'VARCHAR' then 'text'
        when typeof({{ value }}) in ('INTEGER', 'DECIMAL', 'DOUBLE') then 'number'
        when typeof({{ value }}) <> 'NULL_VALUE' then typeof({{ value }})
    end
{%- endmacro %}
