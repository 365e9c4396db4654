#!/bin/sh
# Run once by the database's image: the roles and rights of deploy/stack/postgres.py.
set -eu
psql --set ON_ERROR_STOP=1 --username postgres --dbname meterline \
  --set owner_password="$(cat /run/secrets/db-owner)" \
  --set app_password="$(cat /run/secrets/db-app)" \
  --set board_password="$(cat /run/secrets/db-board)" <<'SQL'
create role meterline_owner login password :'owner_password';
create role meterline_app login password :'app_password';
create role meterline_board login password :'board_password';
-- Of whom protects revenue: an account of their own is made a member of it, and given the same settings.
create role meterline_revenue nologin in role meterline_board;
alter role meterline_app set idle_in_transaction_session_timeout = '30s';
alter role meterline_app set statement_timeout = '5min';
alter role meterline_board set statement_timeout = '5s';
alter role meterline_board set idle_in_transaction_session_timeout = '10s';
alter role meterline_board set default_transaction_read_only = 'on';
alter role meterline_board set jit = 'off';
alter role meterline_revenue set statement_timeout = '5s';
alter role meterline_revenue set idle_in_transaction_session_timeout = '10s';
alter role meterline_revenue set jit = 'off';
create extension if not exists timescaledb;
alter database meterline owner to meterline_owner;
revoke all on schema public from public;
grant usage on schema public to meterline_app, meterline_board;
grant usage, create on schema public to meterline_owner;
revoke all on database meterline from public;
grant connect, temporary on database meterline to meterline_app;
grant connect on database meterline to meterline_board;
alter default privileges for role meterline_owner
  grant select, insert, update, delete on tables to meterline_app;
alter default privileges for role meterline_owner grant usage, select on sequences to meterline_app;
SQL
