{# An order's status after an event of a type; unknown after any other type. #}
{% macro order_status(event_type) -%}
    case {{ event_type }}
        when 'order_created' then 'created'
        when 'order_paid' then 'paid'
        when 'order_shipped' then 'shipped'
        when 'order_delivered' then 'delivered'
        when 'order_cancelled' then 'cancelled'
        else 'unknown'
    end
{%- endmacro %}
