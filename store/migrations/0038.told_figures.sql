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

-- The same of doubtful readings: units' days with their doubts, where a view had to count a month of them.
drop view telemetry.doubt_count;
create table telemetry.doubt_count (
  unit_id integer not null,
  day date not null,
  rule text not null,
  doubts bigint not null,
  members bigint not null,
  primary key (day, unit_id, rule)
);
comment on table telemetry.doubt_count is 'How many of telemetry.doubt a unit''s day has by a rule, and of how many members: of nobody in particular';

create function telemetry.count_doubts() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from telemetry.doubt_count c
  using (select distinct unit_id, day from changed) k
  where c.day = k.day and c.unit_id = k.unit_id;
  insert into telemetry.doubt_count (unit_id, day, rule, doubts, members)
  select d.unit_id, d.day, d.rule, count(*), count(distinct d.position)
  from (select distinct unit_id, day from changed) k
  join telemetry.doubt d using (unit_id, day)
  group by d.unit_id, d.day, d.rule;
  return null;
end
$$;
create trigger count_added after insert on telemetry.doubt
referencing new table as changed for each statement execute function telemetry.count_doubts();
create trigger count_changed after update on telemetry.doubt
referencing new table as changed for each statement execute function telemetry.count_doubts();
create trigger count_removed after delete on telemetry.doubt
referencing old table as changed for each statement execute function telemetry.count_doubts();
insert into telemetry.doubt_count
select unit_id, day, rule, count(*), count(distinct position) from telemetry.doubt group by unit_id, day, rule;

do $$
declare
  role text;
begin
  foreach role in array array['meterline_board', 'meterline_revenue'] loop
    if exists (select from pg_roles where rolname = role) then
      execute format('grant select on sync.target_size, telemetry.doubt_count to %I', role);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'meterline_app') then
    grant select, insert, update, delete on sync.target_size, telemetry.doubt_count to meterline_app;
  end if;
end
$$;
