with

marks as (

    select * from {{ ref('evaluation_marks') }}

),

samples as (

    {% for feed in var('collected_feeds') %}
    select
        marks.evaluated_at,
        '{{ feed }}' as feed,
        max(samples.collected_at) as last_sample_at
    from marks
    left join {{ ref('stg_streaming__' ~ feed) }} as samples
        on
            marks.evaluated_at >= samples.collected_at
            and {{ dbt.dateadd('day', -1, 'marks.evaluated_at') }} < samples.collected_at
    group by 1
    union all
    {% endfor %}
    -- The monitor itself: its age is what passes after its last evaluation.
    select
        evaluated_at,
        'evaluation' as feed,
        evaluated_at as last_sample_at
    from marks

),

feed_freshness as (

    select
        evaluated_at,
        feed,
        last_sample_at,
        cast({{ dbt.datediff('last_sample_at', 'evaluated_at', 'second') }} as bigint) as age_seconds
    from samples

)

select * from feed_freshness
