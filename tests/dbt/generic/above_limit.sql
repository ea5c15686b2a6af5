{# Alert: `measured` must not exceed `warn_above` and `error_above`. NULL fails.
   `unless` is a SQL condition under which the row is not judged, `topic` as in alert_rows. #}
{% test above_limit(model, measured, warn_above, error_above, unit, unless='1 = 0', topic=none) %}
    {{ config(
        fail_calc='coalesce(max(level), 2)', warn_if='>= 1', error_if='>= 2',
        store_failures=true, schema='MONITORING', tags=['alert']
    ) }}
    {{ alert_rows(
        model,
        level='case when ' ~ unless ~ ' then 0 when ' ~ measured ~ ' > ' ~ error_above ~ ' then 2 when '
            ~ measured ~ ' > ' ~ warn_above ~ ' then 1 when ' ~ measured ~ ' is not null then 0 end',
        measured=measured_text(measured, unit),
        allowed='case when ' ~ measured ~ ' > ' ~ error_above ~ " then 'at most " ~ error_above ~ "' else 'at most "
            ~ warn_above ~ "' end",
        value=measured,
        topic=topic
    ) }}
{% endtest %}
