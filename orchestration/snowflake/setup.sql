-- What this project needs on Snowflake, for an administrator to run once: by Snowsight, or by
--   snow sql -f orchestration/snowflake/setup.sql
-- The names are those that profiles.example.yml takes where the environment says nothing. Running it again changes
-- nothing that is there, except that grants are granted and the warehouse's settings are set.

-- --- Warehouse and what it may cost --------------------------------------------------------------------------------

use role sysadmin;

create warehouse if not exists streaming_ops_xs
    warehouse_size = 'XSMALL'
    initially_suspended = true
    comment = 'Monitors the order stream and keeps ANALYTICS.FCT_ORDERS fresh';

-- A tick takes seconds. Suspended after a minute, the least that a resume bills; a statement that runs for a quarter of
-- an hour is a mistake.
alter warehouse streaming_ops_xs set
    auto_suspend = 60
    auto_resume = true
    statement_timeout_in_seconds = 900;

use role accountadmin;

-- An X-Small warehouse bills a credit an hour. A tick of 20 s every five minutes keeps it up for 80 s with the minute before
-- it is suspended: 6.4 hours a day, 200 credits a month.
create resource monitor if not exists streaming_ops with
    credit_quota = 250
    frequency = monthly
    start_timestamp = immediately
    triggers
        on 75 percent do notify
        on 100 percent do suspend
        on 110 percent do suspend_immediate;

alter warehouse streaming_ops_xs set resource_monitor = streaming_ops;

-- --- Database, schemas and landing tables --------------------------------------------------------------------------

use role sysadmin;

create database if not exists streaming_ops;
create schema if not exists streaming_ops.streaming;
-- Managed access: who may read what is granted by the schemas' owner, not by the role that makes the tables.
create schema if not exists streaming_ops.analytics with managed access;
create schema if not exists streaming_ops.monitoring with managed access;

-- As the sink connector creates it. Where the connector has made it, in this schema, this does nothing.
create table if not exists streaming_ops.streaming.order_events (record_metadata variant, record_content variant);
create table if not exists streaming_ops.streaming.kafka_offsets (
    collected_at timestamp_ntz,
    consumer_group varchar,
    topic varchar,
    partition integer,
    log_start_offset integer,
    log_end_offset integer,
    committed_offset integer
);
create table if not exists streaming_ops.streaming.connector_status (
    collected_at timestamp_ntz,
    connector varchar,
    task_id integer,
    state varchar,
    worker_id varchar,
    trace varchar
);

-- --- The monitor's role: what it reads, what it writes, nothing else -----------------------------------------------

use role useradmin;

create role if not exists streaming_ops comment = 'Reads STREAMING, appends snapshots to it, owns what it builds';

-- The key pair: openssl genrsa 2048 | openssl pkcs8 -topk8 -v2 aes256 -out key.p8; openssl rsa -in key.p8 -pubout
-- Paste the public key's lines here, without the first and the last.
create user if not exists streaming_ops_monitor
    type = service
    rsa_public_key = '<public key>'
    default_role = streaming_ops
    default_warehouse = streaming_ops_xs
    comment = 'python -m orchestration';

use role securityadmin;

grant role streaming_ops to user streaming_ops_monitor;
grant role streaming_ops to role sysadmin;

grant usage on warehouse streaming_ops_xs to role streaming_ops;
grant usage on database streaming_ops to role streaming_ops;

-- It reads what landed ...
grant usage on schema streaming_ops.streaming to role streaming_ops;
grant select on table streaming_ops.streaming.order_events to role streaming_ops;
grant select, insert on table streaming_ops.streaming.kafka_offsets to role streaming_ops;
grant select, insert on table streaming_ops.streaming.connector_status to role streaming_ops;

-- ... and makes tables and views, which it then owns, in two schemas.
grant usage, create table, create view on schema streaming_ops.analytics to role streaming_ops;
grant usage, create table, create view on schema streaming_ops.monitoring to role streaming_ops;

-- Readers: grant usage on the database and the schema, and
--   grant select on future tables in schema streaming_ops.analytics to role <readers>;
--   grant select on future views in schema streaming_ops.analytics to role <readers>;
-- The sink connector's own role needs, on streaming_ops.streaming.order_events, what its documentation lists.
