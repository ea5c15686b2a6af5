{# The numbers of the next load of order_event_records, a mapping: `load_id`, and
   `first_load_id`, the first one since the table was last rebuilt. After a rebuild the
   numbers go on, also above those in fct_orders, so that orders can tell what they
   hold already. No ref() to the latter: it is downstream. #}
{% macro next_load(window, this_table) -%}
    {%- if window.load_id > 0 -%}
        {{ return({'load_id': window.load_id + 1, 'first_load_id': window.first_load_id}) }}
    {%- endif -%}
    {%- set used = namespace(load_id=0) -%}
    {%- for name in [this_table.identifier, 'fct_orders'] if execute -%}
        {%- set before = load_relation(this_table.incorporate(path={'identifier': name})) -%}
        {%- if before is not none -%}
            {%- set used.load_id = [
                used.load_id, run_query('select coalesce(max(load_id), 0) from ' ~ before).rows[0][0] | int
            ] | max -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return({'load_id': used.load_id + 1, 'first_load_id': used.load_id + 1}) }}
{%- endmacro %}
