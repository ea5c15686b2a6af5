{# The payload's fields of another kind than `payload_fields` says, as text such as
   'type of event_id number; type of amount text'; NULL where there are none. #}
{% macro unexpected_types() -%}
    nullif(rtrim(''
        {%- for field, kind in var('payload_fields').items() %}
        {%- set found = variant_kind(payload_variant(field)) %}
        || coalesce(case when {{ found }} <> '{{ kind }}' then 'type of {{ field }} ' || {{ found }} || '; ' end, '')
        {%- endfor %},
    '; '), '')
{%- endmacro %}
