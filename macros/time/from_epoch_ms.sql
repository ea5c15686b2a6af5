{# Epoch milliseconds as a naive UTC datetime of this Jinja context. #}
{% macro from_epoch_ms(epoch_ms) -%}
    {{ return(modules.datetime.datetime(1970, 1, 1) + modules.datetime.timedelta(milliseconds=epoch_ms)) }}
{%- endmacro %}
