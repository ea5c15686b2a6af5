{# A stretch of the generated stream: one row per Kafka record whose CreateTime
   is at most `to_ms` and that had not landed at `from_ms`, in Kafka's order, with
   its offset. The stream is a function of its seed: cut it into stretches as you
   like, the records are the same. Columns: topic, partition, kafka_offset,
   create_time_ms, push_time_ms (past `to_ms`: not landed yet), kind (valid,
   tombstone, no_order_id, bad_amount), and the payload's fields. #}
{% macro generated_order_events(from_ms, to_ms, options) -%}
    {%- set day_ms = 86400000 -%}
    {#- An order's last event comes at most five days after its first. -#}
    {%- set first_day = from_ms // day_ms - 5 -%}
    {%- set days = to_ms // day_ms - first_day + 1 -%}
    {%- set order_rate = options.orders_per_day -%}
    with

    landed as (

        select
            record_metadata['partition']::integer as partition,
            max(record_metadata['CreateTime']::bigint) as create_time_ms,
            max(record_metadata['offset']::bigint) as kafka_offset
        from {{ landing_table('order_events') }}
        where record_metadata['topic']::varchar = '{{ options.topic }}'
        group by 1

    ),

    numbered_orders as (

        select
            cast({{ first_day }} as bigint) * {{ order_rate }} + n as order_number,
            floor(n / {{ order_rate }}) + {{ first_day }} as day_number,
            mod(n, {{ order_rate }}) as number_in_day
        from {{ numbers(days * order_rate) }} as spine

    ),

    -- The day's share at which an order comes, bent so that middays are busy
    -- and nights are not.
    shares as (

        select
            order_number,
            day_number,
            (number_in_day + {{ pseudo_random('order_number', 1, options.seed) }}) / {{ order_rate }} as share
        from numbered_orders

    ),

    orders as (

        select
            order_number,
            day_number * {{ day_ms }} + (share + 0.11 * sin(6.283185307 * share)) * {{ day_ms }} as created_ms,
            least(-ln(1 - {{ pseudo_random('order_number', 2, options.seed) }}) * 300000, 3600000) + 5000 as to_paid_ms,
            (2 + 28 * {{ pseudo_random('order_number', 3, options.seed) }}) * 3600000 as to_shipped_ms,
            (12 + 48 * {{ pseudo_random('order_number', 4, options.seed) }}) * 3600000 as to_delivered_ms,
            {{ pseudo_random('order_number', 5, options.seed) }} as fate,
            mod(
                cast(floor({{ pseudo_random('order_number', 6, options.seed) }} * 1000003) as integer),
                {{ options.partitions }}
            ) as partition,
            'C' || cast(floor(power({{ pseudo_random('order_number', 7, options.seed) }}, 2) * 20000) as integer)
                as customer_id,
            round(cast(
                4 + 300 * power({{ pseudo_random('order_number', 8, options.seed) }}, 3) as decimal(18, 6)
            ), 2) as amount,
            case
                when {{ pseudo_random('order_number', 9, options.seed) }} < 0.7 then 'EUR'
                when {{ pseudo_random('order_number', 9, options.seed) }} < 0.9 then 'USD'
                else 'GBP'
            end as currency
        from shares

    ),

    -- Eight in a hundred are never paid, three are cancelled after payment.
    steps as (

        select
            orders.*,
            steps.n as step,
            case steps.n
                when 0 then 'order_created'
                when 1 then 'order_paid'
                when 2 then 'order_shipped'
                when 3 then 'order_delivered'
                else 'order_cancelled'
            end as event_type,
            cast(floor(case steps.n
                when 0 then created_ms
                when 1 then created_ms + to_paid_ms
                when 2 then created_ms + to_paid_ms + to_shipped_ms
                when 3 then created_ms + to_paid_ms + to_shipped_ms + to_delivered_ms
                else created_ms + to_paid_ms + 1800000
            end) as bigint) as event_ms,
            orders.order_number * 5 + steps.n as event_number
        from orders
        cross join {{ numbers(5) }} as steps
        where
            (steps.n = 0)
            or (steps.n = 1 and fate >= 0.08)
            or (steps.n in (2, 3) and fate >= 0.11)
            or (steps.n = 4 and fate < 0.11)

    ),

    -- From the application to the broker takes a moment; one event in two
    -- hundred waited on a device for up to three hours.
    produced as (

        select
            *,
            event_ms + cast(floor(
                20 + 280 * {{ pseudo_random('event_number', 10, options.seed) }}
                + case
                    when {{ pseudo_random('event_number', 11, options.seed) }} < 0.005
                        then 10800000 * {{ pseudo_random('event_number', 12, options.seed) }}
                    else 0
                end
            ) as bigint) as create_time_ms,
            {{ pseudo_random('event_number', 13, options.seed) }} as kind_share
        from steps
        where event_ms between {{ from_ms - 2 * day_ms }} and {{ to_ms }}

    ),

    -- The connector flushes each partition every ten seconds, so that records
    -- land in the order of their offsets.
    pushed as (

        select
            *,
            cast(floor((create_time_ms + partition * 1500) / 10000) + 1 as bigint) * 10000 - partition * 1500
            + cast(floor(500 + 2500 * {{ pseudo_random(
                'mod(cast(floor((create_time_ms + partition * 1500) / 10000) as bigint), 100000000) * 64 + partition',
                14, options.seed
            ) }}) as bigint) as push_time_ms
        from produced

    )

    select
        '{{ options.topic }}' as topic,
        pushed.partition,
        coalesce(landed.kafka_offset + 1, 0) + row_number() over (
            partition by pushed.partition order by pushed.create_time_ms, pushed.event_number
        ) - 1 as kafka_offset,
        pushed.create_time_ms,
        -- What a stalled partition held back lands when it is released.
        {% if options.stalled_partition is not none -%}
        case
            when pushed.partition = {{ options.stalled_partition }} then {{ to_ms }} + 1
            else greatest(pushed.push_time_ms, {{ from_ms }} + 1)
        end as push_time_ms,
        {%- else -%}
        greatest(pushed.push_time_ms, {{ from_ms }} + 1) as push_time_ms,
        {%- endif %}
        case
            when pushed.kind_share < 0.0002 then 'tombstone'
            when pushed.kind_share < 0.0004 then 'no_order_id'
            when pushed.kind_share < 0.0006 then 'bad_amount'
            else 'valid'
        end as kind,
        pushed.kind_share between 0.5 and 0.501 as is_redelivered,
        'E' || pushed.event_number as event_id,
        pushed.event_type,
        pushed.event_ms,
        'O' || pushed.order_number as order_id,
        pushed.customer_id,
        pushed.amount,
        pushed.currency
    from pushed
    left join landed on pushed.partition = landed.partition
    where
        pushed.create_time_ms <= {{ to_ms }}
        and pushed.create_time_ms > coalesce(landed.create_time_ms, {{ from_ms }})
{%- endmacro %}
