{# The last millisecond of the year 9999: an epoch beyond it is no instant. #}
{% macro last_epoch_ms() -%}{{ return(253402300799999) }}{%- endmacro %}
