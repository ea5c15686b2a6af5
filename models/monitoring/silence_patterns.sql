{{ config(materialized='view') }}

select
    replace(coalesce(alert, '*'), '*', '%') as alert_pattern,
    replace(coalesce(entity, '*'), '*', '%') as entity_pattern,
    starts_at,
    ends_at
from {{ ref('silences') }}
