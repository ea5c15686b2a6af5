{# What a payload has that `payload_fields`, `event_types` and the seed `currencies`
   do not know: text such as 'field gift_wrap; type of amount text', NULL where there
   is nothing. Such a record is kept like any other. `known_currency` and
   `unknown_fields` are columns of what it is used on. #}
{% macro unexpected_payload() -%}
    {%- set surprises = ["'field ' || unknown_fields"] -%}
    {%- for field, kind in var('payload_fields').items() -%}
        {%- set found = variant_kind("record_content['" ~ field ~ "']") -%}
        {%- do surprises.append(
            "case when " ~ found ~ " <> '" ~ kind ~ "' then 'type of " ~ field ~ ' \' || ' ~ found ~ ' end'
        ) -%}
    {%- endfor -%}
    {%- do surprises.append(
        "case when event_type not in ('" ~ var('event_types') | join("', '") ~ "') then 'event_type ' || event_type end"
    ) -%}
    {%- do surprises.append(
        "case when known_currency is null then 'currency ' || currency end"
    ) -%}
    nullif(left(rtrim(
        {%- for surprise in surprises %}
        coalesce({{ surprise }} || '; ', ''){{ ' ||' if not loop.last }}
        {%- endfor %},
        '; '
    ), 200), '')
{%- endmacro %}
