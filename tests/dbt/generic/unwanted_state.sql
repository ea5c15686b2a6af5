{# Alert: `state` is in `error_states` or `warn_states`. With `ok_states` given, the
   healthy one first, any state that none of the lists has is an error too; so is
   NULL. `topic` as in alert_rows. #}
{% test unwanted_state(model, state, error_states=[], warn_states=[], ok_states=none, topic=none) %}
    {{ config(
        fail_calc='coalesce(max(level), 2)', warn_if='>= 1', error_if='>= 2',
        store_failures=true, schema='MONITORING', tags=['alert']
    ) }}
    {%- set level -%}
        case
            {% if error_states %}when {{ state }} in ('{{ error_states | join("', '") }}') then 2{% endif %}
            {% if warn_states %}when {{ state }} in ('{{ warn_states | join("', '") }}') then 1{% endif %}
            {% if ok_states is not none %}when {{ state }} not in ('{{ ok_states | join("', '") }}') then 2{% endif %}
            when {{ state }} is not null then 0
        end
    {%- endset -%}
    {{ alert_rows(
        model,
        level=level,
        measured="coalesce(" ~ state ~ ", 'unknown')",
        allowed="'" ~ (ok_states[0] if ok_states else 'anything but ' ~ (error_states + warn_states) | join(' or ')) ~ "'",
        value='null',
        topic=topic
    ) }}
{% endtest %}
