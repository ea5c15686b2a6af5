{# The numbers of the next load of order_event_records, a mapping: `load_id`, and
   `first_load_id`, the first one since the table was last rebuilt. After a rebuild the
   numbers go on, also above those in fct_orders, so that orders can tell what they
   hold already. #}
{% macro next_load(window) -%}
    {%- if window.load_id > 0 -%}
        {{ return({'load_id': window.load_id + 1, 'first_load_id': window.first_load_id}) }}
    {%- endif -%}
    {%- set used = namespace(load_id=0) -%}
    {%- for name in ['order_event_records', 'fct_orders'] -%}
        {%- set before = downstream(name) -%}
        {%- if before is not none -%}
            {%- set newest = answers('select max(load_id) as newest_load_id from ' ~ before)[0].newest_load_id -%}
            {%- set used.load_id = [used.load_id, newest | int(0)] | max -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return({'load_id': used.load_id + 1, 'first_load_id': used.load_id + 1}) }}
{%- endmacro %}
