{# Pre-hook of the batch models: deletes the closed days that no order is left in.
   delete+insert replaces a day by its new rows, and these have none. #}
{% macro delete_emptied_days() -%}
    {%- if is_incremental() -%}
    delete from {{ this }}
    where
        order_date < {{ as_of_day() }}
        and order_date not in (
            select cast(first_event_at as date) from {{ ref('fct_orders') }} where first_event_at < {{ as_of_day() }}
        )
    {%- endif -%}
{%- endmacro %}
