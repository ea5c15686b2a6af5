{# What a payload has that `payload_fields`, `event_types` and the seed `currencies`
   do not know: text such as 'field gift_wrap; type of amount text', NULL where there
   is nothing. Such a record is kept like any other. Named as well is an event_ts more
   than a day ahead of Kafka's timestamp: it stays the order's latest event until then.
   `unknown_fields`, `unexpected_types` and `known_currency` are columns of what it is
   used on. #}
{% macro unexpected_payload() -%}
    nullif(left(rtrim(
        coalesce('field ' || unknown_fields || '; ', '')
        || coalesce(unexpected_types || '; ', '')
        || coalesce(case when event_type not in ('{{ var('event_types') | join("', '") }}') then 'event_type ' || event_type || '; ' end, '')
        || coalesce(case when known_currency is null then 'currency ' || currency || '; ' end, '')
        || case when {{ dbt.dateadd('day', -1, 'event_at') }} > created_at then 'event_ts of the future' else '' end,
        '; '
    ), 200), '')
{%- endmacro %}
