{# The marks that late records can have changed, a mapping of naive UTC datetimes
   `from_at` and `to_at`: those of the last `late_arrival_minutes`, or of a backfill. #}
{% macro restated_window() -%}
    {%- if var('backfill_from') -%}
        {{ return({
            'from_at': instant(var('backfill_from'), 'backfill_from'),
            'to_at': instant(var('backfill_to'), 'backfill_to') + modules.datetime.timedelta(minutes=6),
        }) }}
    {%- endif -%}
    {{ return({
        'from_at': as_of_instant() - modules.datetime.timedelta(minutes=var('late_arrival_minutes')),
        'to_at': as_of_instant(),
    }) }}
{%- endmacro %}
