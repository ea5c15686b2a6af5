{# What a payload has that `payload_fields`, `event_types` and the seed `currencies`
   do not know: text such as 'field gift_wrap; type of amount text', NULL where there
   is nothing. Such a record is kept like any other. `unknown_fields`, `unexpected_types`
   and `known_currency` are columns of what it is used on. #}
{% macro unexpected_payload() -%}
    nullif(left(rtrim(
        coalesce('field ' || unknown_fields || '; ', '')
        || coalesce(unexpected_types || '; ', '')
        || coalesce(case when event_type not in ('{{ var('event_types') | join("', '") }}') then 'event_type ' || event_type || '; ' end, '')
        || coalesce(case when known_currency is null then 'currency ' || currency end, ''),
        '; '
    ), 200), '')
{%- endmacro %}
