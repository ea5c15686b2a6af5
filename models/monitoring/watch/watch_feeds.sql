with

feed_freshness as (

    select * from {{ ref('feed_freshness') }}

),

watch_feeds as (

    select
        evaluated_at,
        feed as entity,
        age_seconds,
        coalesce('newest at ' || last_sample_at || ' UTC', 'nothing in the last day') as detail
    from feed_freshness

)

select * from watch_feeds
