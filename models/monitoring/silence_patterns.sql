{{ config(materialized='view') }}

-- LIKE's own wildcards are plain text in a silence.
select
    {%- for column in ['alert', 'entity'] %}
    replace(replace(replace(replace(coalesce({{ column }}, '*'), '!', '!!'), '%', '!%'), '_', '!_'), '*', '%')
        as {{ column }}_pattern,
    {%- endfor %}
    starts_at,
    ends_at
from {{ ref('silences') }}
