-- What this project needs on Snowflake, for a user with ACCOUNTADMIN to run once: by Snowsight (Run all), or by
--   snow sql -f orchestration/snowflake/setup.sql
-- The names are those that profiles.example.yml takes where the environment says nothing; SNOWFLAKE_DATABASE
-- (STREAMING_OPS) and SNOWFLAKE_USER (STREAMING_OPS_MONITOR) have to be given. Running it again grants the grants and sets
-- the settings of the warehouse and of the user; a resource monitor, schema or table that is there stays as it is.

-- --- Warehouse and what it may cost --------------------------------------------------------------------------------

use role sysadmin;

-- Generation 1 by name: a new warehouse may be of generation 2, which bills 1.25 to 1.35 credits an hour, not one.
create warehouse if not exists streaming_ops_xs
    warehouse_size = 'XSMALL'
    generation = '1'
    initially_suspended = true
    comment = 'Monitors the order stream and keeps ANALYTICS.FCT_ORDERS fresh';

-- Looked at every 30 s, so suspended 30 to 60 s after the last statement; a resume bills 60 s at least. A statement that
-- runs for a quarter of an hour is a mistake.
alter warehouse streaming_ops_xs set
    auto_suspend = 30
    auto_resume = true
    statement_timeout_in_seconds = 900;

use role accountadmin;

-- 288 ticks a day. Busy for 20 s: 5.3 credits a day, 160 in 30 days; for 45 s: 7.2 and 216; never suspended: 24 and 720.
-- The monitor counts cloud services too, without the 10 % that are free. Without a schedule it starts again on the first
-- of the month, as the bill does. At 100 % the monitoring itself ends: raise the quota when the notice at 70 % comes
-- early. Notices reach account administrators only once they have turned them on in their profile.
create resource monitor if not exists streaming_ops with
    credit_quota = 400
    triggers
        on 50 percent do notify
        on 70 percent do notify
        on 90 percent do notify
        on 100 percent do suspend;

alter warehouse streaming_ops_xs set resource_monitor = streaming_ops;

-- --- Database, schemas and landing tables --------------------------------------------------------------------------

use role sysadmin;

create database if not exists streaming_ops;
create schema if not exists streaming_ops.streaming;
-- Managed access: who may read what is granted by the schemas' owner, not by the role that makes the tables.
create schema if not exists streaming_ops.analytics with managed access;
create schema if not exists streaming_ops.monitoring with managed access;

-- Run the connector first if it is to make the table itself; then this does nothing. For payload_layout: columns it
-- must.
create table if not exists streaming_ops.streaming.order_events (record_metadata variant, record_content variant);
create table if not exists streaming_ops.streaming.kafka_offsets (
    collected_at timestamp_ntz,
    consumer_group varchar,
    topic varchar,
    partition integer,
    log_start_offset integer,
    log_end_offset integer,
    committed_offset integer,
    consumer_lag_offsets integer
);
create table if not exists streaming_ops.streaming.connector_status (
    collected_at timestamp_ntz,
    connector varchar,
    task_id integer,
    state varchar,
    worker_id varchar,
    trace varchar,
    tasks_max integer
);
create table if not exists streaming_ops.streaming.collector_runs (
    collected_at timestamp_ntz,
    collector varchar,
    row_count integer,
    error varchar
);

-- --- The monitor's role: what it reads, what it writes, nothing else -----------------------------------------------

use role useradmin;

create role if not exists streaming_ops comment = 'Reads STREAMING, appends snapshots to it, owns what it builds';

-- Without a key nobody can log in as it; the key is set at the end.
create user if not exists streaming_ops_monitor
    type = service
    comment = 'python -m orchestration';

-- dbt deletes and inserts in one transaction and does not roll back when the insert fails: the next CREATE of the
-- session would commit the deletion (dbt-core issue 12330). So an error aborts the transaction. A transaction whose
-- client was killed is rolled back once it has blocked another one for five minutes; no statement waits much longer.
-- A statement ends after a quarter of an hour in any warehouse, which is less than STREAMING_OPS_HANG_MINUTES.
alter user streaming_ops_monitor set
    default_role = streaming_ops
    default_warehouse = streaming_ops_xs
    default_secondary_roles = ()
    transaction_abort_on_error = true
    abort_detached_query = true
    statement_timeout_in_seconds = 900
    lock_timeout = 420;

use role securityadmin;

grant role streaming_ops to user streaming_ops_monitor;
grant role streaming_ops to role sysadmin;

grant usage on warehouse streaming_ops_xs to role streaming_ops;
grant usage on database streaming_ops to role streaming_ops;

-- It reads what landed, also where the connector drops a table and makes it again ...
grant usage on schema streaming_ops.streaming to role streaming_ops;
grant select on all tables in schema streaming_ops.streaming to role streaming_ops;
grant select on future tables in schema streaming_ops.streaming to role streaming_ops;
-- DELETE is for the snapshots that snapshots_retention_days lets go.
grant insert, delete on table streaming_ops.streaming.kafka_offsets to role streaming_ops;
grant insert, delete on table streaming_ops.streaming.connector_status to role streaming_ops;
grant insert, delete on table streaming_ops.streaming.collector_runs to role streaming_ops;

-- ... and makes tables and views, which it then owns, in two schemas.
grant usage, create table, create view on schema streaming_ops.analytics to role streaming_ops;
grant usage, create table, create view on schema streaming_ops.monitoring to role streaming_ops;

-- Readers need both ALL and FUTURE: what dbt replaces with COPY GRANTS keeps its grants and gets no future ones, and
-- the alerts' tables in MONITORING are dropped and made in every tick.
--   grant usage on database streaming_ops to role <readers>;
--   grant usage on schema streaming_ops.analytics to role <readers>;            -- and on streaming_ops.monitoring
--   grant select on all tables in schema streaming_ops.analytics to role <readers>;
--   grant select on future tables in schema streaming_ops.analytics to role <readers>;
--   grant select on all views in schema streaming_ops.analytics to role <readers>;
--   grant select on future views in schema streaming_ops.analytics to role <readers>;

-- The sink connector's role, granted to it directly. Version 4: INSERT on the table, EVOLVE SCHEMA as well if it adds
-- columns; version 3 wants to own a table that is there:
--   grant usage on database streaming_ops to role <connector>;
--   grant usage, create table, create pipe, create stage on schema streaming_ops.streaming to role <connector>;
--   grant insert, evolve schema on table streaming_ops.streaming.order_events to role <connector>;              -- 4
--   grant ownership on table streaming_ops.streaming.order_events to role <connector> copy current grants;      -- 3

-- --- The key, last: a wrong one is refused, and only this statement has to be run again ---------------------------

use role useradmin;

-- openssl genrsa 2048 | openssl pkcs8 -topk8 -v2 aes256 -out key.p8; openssl rsa -in key.p8 -pubout
-- Paste the public key's lines here, without the first and the last.
alter user streaming_ops_monitor set rsa_public_key = '<public key>';
