{# Alert: `measured` must not fall below `warn_below` and `error_below`. NULL
   fails. `unless` is a SQL condition under which the row is not judged, `topic` as in alert_rows. #}
{% test below_limit(model, measured, warn_below, error_below, unit, unless='1 = 0', topic=none) %}
    {{ config(
        fail_calc='coalesce(max(level), 2)', warn_if='>= 1', error_if='>= 2',
        store_failures=true, schema='MONITORING', tags=['alert']
    ) }}
    {{ alert_rows(
        model,
        level='case when ' ~ unless ~ ' then 0 when ' ~ measured ~ ' < ' ~ error_below ~ ' then 2 when '
            ~ measured ~ ' < ' ~ warn_below ~ ' then 1 when ' ~ measured ~ ' is not null then 0 end',
        measured=measured_text(measured, unit),
        allowed='case when ' ~ measured ~ ' < ' ~ error_below ~ " then 'at least " ~ error_below ~ "' else 'at least "
            ~ warn_below ~ "' end",
        value=measured,
        topic=topic
    ) }}
{% endtest %}
