{# How bad a state of Kafka Connect or Confluent Cloud is: 0 running, 1 passing
   or intended, 2 not working. A state that nobody has heard of is not healthy. #}
{% macro connector_state_rank(state) -%}
    case
        when {{ state }} = 'RUNNING' then 0
        when {{ state }} in ('STALE', 'UNASSIGNED', 'RESTARTING', 'PROVISIONING', 'PAUSED') then 1
        else 2
    end
{%- endmacro %}
