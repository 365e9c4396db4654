-- depends: 0037.board_alerts
-- What boards and rules of health are told: how many inputs a worker's part refused, and how much each target holds.

alter table telemetry.worker_state add column rejected bigint not null default 0 check (rejected >= 0);
comment on column telemetry.worker_state.rejected is 'Inputs put into the rejected store since the row before; the same again counts again';

-- Counting the millions of entities of a target, and finding when one was last read, would take longer than a panel may.
create table sync.target_size (
  target text not null,
  kind text not null,
  entities bigint not null,
  checked_at timestamptz not null,
  primary key (target, kind)
);
comment on column sync.target_size.entities is 'Rows of sync.target_state';
comment on column sync.target_size.checked_at is 'When one of them was last compared';

create function sync.note_size() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into sync.target_size as s (target, kind, entities, checked_at)
  select target, kind, case tg_op when 'INSERT' then count(*) else 0 end, max(checked_at)
  from changed
  group by target, kind
  order by target, kind
  on conflict (target, kind) do update set
    entities = s.entities + excluded.entities, checked_at = greatest(s.checked_at, excluded.checked_at);
  return null;
end
$$;
create function sync.note_removed() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  update sync.target_size s
  set entities = s.entities - c.removed
  from (select target, kind, count(*) as removed from changed group by target, kind) c
  where s.target = c.target and s.kind = c.kind;
  delete from sync.target_size where entities = 0;
  return null;
end
$$;
create trigger size_added after insert on sync.target_state
referencing new table as changed for each statement execute function sync.note_size();
create trigger size_read after update on sync.target_state
referencing new table as changed for each statement execute function sync.note_size();
create trigger size_removed after delete on sync.target_state
referencing old table as changed for each statement execute function sync.note_removed();
insert into sync.target_size
select target, kind, count(*), max(checked_at) from sync.target_state group by target, kind;

do $$
declare
  role text;
begin
  foreach role in array array['meterline_board', 'meterline_revenue'] loop
    if exists (select from pg_roles where rolname = role) then
      execute format('grant select on sync.target_size to %I', role);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'meterline_app') then
    grant select, insert, update, delete on sync.target_size to meterline_app;
  end if;
end
$$;
