-- Schemas and who may use them. Tables that are made later inherit these rights.
create schema grid;
create schema telemetry;
create schema loss;
create schema alerts;
create schema sync;

do $$
declare
  s text;
begin
  foreach s in array array['grid', 'telemetry', 'loss', 'alerts', 'sync'] loop
    if exists (select from pg_roles where rolname = 'meterline_app') then
      execute format('grant usage on schema %I to meterline_app', s);
      execute format('alter default privileges in schema %I grant select, insert, update, delete on tables to meterline_app', s);
      execute format('alter default privileges in schema %I grant usage on sequences to meterline_app', s);
    end if;
    if exists (select from pg_roles where rolname = 'meterline_board') and s in ('grid', 'telemetry', 'loss', 'alerts') then
      execute format('grant usage on schema %I to meterline_board', s);
    end if;
  end loop;
end
$$;
