with

-- Evaluations later than the last run's as_of are ignored: a tick's clock was wrong, or the last run used --as-of.
present as (

    select coalesce(max(as_of), cast('9999-12-31' as datetime)) as as_of from {{ ref('evaluation_marks') }}

),

-- A repeated tick stores its results twice: the worse result counts.
results as (

    select
        results.node as alert,
        results.run_at,
        results.level,
        settings.for_seconds,
        settings.keep_firing_for_seconds,
        lag(sign(results.level)) over (partition by results.node order by results.run_at) as previous_sign
    from (
        select
            node,
            run_at,
            max(level) as level
        from {{ source('monitoring', 'test_results') }}
        where level is not null and run_at <= (select present.as_of from present)
        group by node, run_at
    ) as results
    inner join {{ ref('alert_settings') }} as settings on results.node = settings.alert

),

-- Runs in a row that were bad, or good.
runs as (

    select
        *,
        sum(case when sign(level) = previous_sign then 0 else 1 end)
            over (partition by alert order by run_at rows between unbounded preceding and current row) as stretch
    from results

),

started_runs as (

    select
        *,
        min(run_at) over (partition by alert, stretch) as started_at
    from runs

),

stretches as (

    select
        alert,
        stretch,
        max(level) > 0 as is_bad,
        min(run_at) as started_at,
        max(run_at) as ended_at,
        count(*) as run_count,
        -- When a bad stretch was long enough to fire, or a good stretch to resolve.
        min(case
            when
                {{ dbt.datediff('started_at', 'run_at', 'second') }}
                >= case when level > 0 then for_seconds else keep_firing_for_seconds end
                then run_at
        end) as due_at
    from started_runs
    group by alert, stretch

),

-- Bad stretches form one chain if the good stretch between them was too short to resolve.
bad_stretches as (

    select
        *,
        case
            when lag(stretch) over (partition by alert order by stretch) is null then 1
            when lag(due_at) over (partition by alert order by stretch) is null then 0
            else 1
        end as is_apart,
        lead(started_at) over (partition by alert order by stretch) as good_at,
        lead(due_at) over (partition by alert order by stretch) as resolved_at
    from stretches
    qualify is_bad

),

chains as (

    select
        *,
        sum(is_apart) over (partition by alert order by stretch rows between unbounded preceding and current row) as chain
    from bad_stretches

),

-- An episode begins at the first stretch of a chain that fires. A pending alert ends at the first good run.
fired_chains as (

    select
        *,
        min(case when due_at is not null then stretch end) over (partition by alert, chain) as fired_stretch
    from chains

),

numbered as (

    select
        *,
        case when stretch >= fired_stretch then fired_stretch else stretch end as episode,
        stretch >= fired_stretch as is_fired
    from fired_chains

),

episodes as (

    select
        alert,
        episode,
        min(started_at) as opened_at,
        case when max(case when is_fired then 1 else 0 end) = 1 then min(due_at) end as fired_at,
        max(ended_at) as last_seen_at,
        sum(run_count) as bad_runs,
        {{ value_at_max('case when is_fired then resolved_at else good_at end', 'stretch') }} as resolved_at
    from numbered
    group by alert, episode

),

newest as (

    select
        alert,
        max(run_at) as evaluated_at
    from results
    group by alert

),

-- The last bad run of an episode describes it.
alerts as (

    select
        episodes.*,
        newest.evaluated_at,
        results.level,
        -- Results stored by versions without muting have neither column.
        coalesce(results.open_level, results.level) as open_level,
        coalesce(results.open_count, results.row_count) as open_count,
        results.row_count,
        results.failing_rows
    from episodes
    inner join newest on episodes.alert = newest.alert
    inner join {{ source('monitoring', 'test_results') }} as results
        on episodes.alert = results.node and episodes.last_seen_at = results.run_at
    qualify
        row_number() over (
            partition by episodes.alert, episodes.opened_at order by results.level desc nulls last, coalesce(results.open_level, results.level) desc nulls last
        ) = 1

)

select
    alert,
    opened_at,
    case
        when resolved_at is not null then 'resolved'
        when fired_at is not null then 'firing'
        else 'pending'
    end as state,
    case when level = 2 then 'error' else 'warn' end as severity,
    open_level = 0 as is_muted,
    fired_at,
    last_seen_at,
    resolved_at,
    evaluated_at,
    cast(bad_runs as integer) as bad_runs,
    cast(row_count as integer) as entity_count,
    failing_rows as entities,
    cast(open_level as integer) as open_level,
    cast(open_count as integer) as open_count
from alerts
