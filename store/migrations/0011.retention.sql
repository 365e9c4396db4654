-- depends: 0006.channels
-- Dropping a chunk is the right of the table's owner. The application role is lent just that: of our own tables, of what
-- is old, and a few chunks at a time, since each takes locks that are held to the end of the transaction.
create function telemetry.drop_chunks_before(relation regclass, before timestamptz, most integer) returns setof text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- Readers line up behind one who waits for an exclusive lock: better to give up and come again.
set lock_timeout = '5s'
as $$
declare
  schema_name text;
  table_name text;
  extension_schema text;
  last_end timestamptz;
begin
  select n.nspname, c.relname into schema_name, table_name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.oid = relation and n.nspname in ('telemetry', 'loss');
  if not found then
    raise insufficient_privilege using message = 'only tables of telemetry and loss have chunks that may be dropped';
  end if;
  if before is null or before > now() - interval '1 day' then
    raise insufficient_privilege using message = 'what is not a day old is not dropped';
  end if;
  if most is null or most not between 1 and 1000 then
    raise invalid_parameter_value using message = 'from 1 to 1000 chunks are dropped at once';
  end if;
  select n.nspname into strict extension_schema
  from pg_extension e join pg_namespace n on n.oid = e.extnamespace
  where e.extname = 'timescaledb';
  select max(range_end) into last_end
  from (
    select range_end
    from timescaledb_information.chunks
    where hypertable_schema = schema_name and hypertable_name = table_name and range_end <= before
    order by range_end
    limit most
  ) oldest;
  if last_end is not null then
    return query execute format('select %I.drop_chunks($1, older_than => $2)', extension_schema) using relation, last_end;
  end if;
end
$$;
revoke all on function telemetry.drop_chunks_before from public;

-- A change that is removed looks for deliveries that name it.
create index sync_delivery_outbox on sync.delivery (outbox_id);

do $$
begin
  if exists (select from pg_roles where rolname = 'meterline_app') then
    grant execute on function telemetry.drop_chunks_before to meterline_app;
  end if;
end
$$;
