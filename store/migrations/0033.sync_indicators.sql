-- depends: 0032.site_facts
-- Indicators of the records of source systems: how complete they are, and what conflicts and drift came to in a period.

-- How many records of a kind a system has, and how many it lacks that others know, as it was found.
create table sync.completeness (
  system text not null,
  kind text not null,
  day date not null,
  records integer not null check (records >= 0),
  missing integer not null check (missing >= 0),
  primary key (system, kind, day)
);
create index completeness_day on sync.completeness (day);
comment on column sync.completeness.kind is 'Of entity, such as meter';

create index conflict_step_at on rollout.conflict_step (at);

-- Conflicts that were open at an instant, since when, and at which unit.
create function rollout.conflicts_open(at timestamptz)
returns table (conflict_id bigint, unit_id integer, opened_at timestamptz)
language sql stable
begin atomic
  select c.conflict_id, c.unit_id, c.at
  from (
    select distinct on (s.conflict_id) s.conflict_id, s.is_open, s.unit_id, s.at
    from rollout.conflict_step s
    where s.at <= conflicts_open.at
    order by s.conflict_id, s.at desc, s.is_open desc
  ) c
  where c.is_open;
end;

-- Conflicts that were closed in a period, each as often as it was closed, with when it had opened before.
create function rollout.conflicts_resolved(since timestamptz, at timestamptz)
returns table (conflict_id bigint, unit_id integer, opened_at timestamptz, closed_at timestamptz)
language sql stable
begin atomic
  select s.conflict_id, coalesce(s.unit_id, o.unit_id), o.at, s.at
  from rollout.conflict_step s
  cross join lateral (
    select o.at, o.unit_id from rollout.conflict_step o
    where o.conflict_id = s.conflict_id and o.is_open and o.at <= s.at
    order by o.at desc
    limit 1
  ) o
  where not s.is_open and s.at >= conflicts_resolved.since and s.at < conflicts_resolved.at;
end;

-- For how long within a period each entity of a target was known to disagree: what is over, and what still lasts.
create function sync.drift_spans(since timestamptz, at timestamptz)
returns table (target text, kind text, minutes double precision)
language sql stable
begin atomic
  select d.target, d.kind, extract(epoch from least(d.until, drift_spans.at) - greatest(d.since, drift_spans.since)) / 60
  from sync.drift d
  where d.until > drift_spans.since and d.since < drift_spans.at
  union all
  select t.target, t.kind, extract(epoch from drift_spans.at - greatest(t.since, drift_spans.since)) / 60
  from sync.target_state t
  where t.since < drift_spans.at;
end;

do $$
declare
  role text;
begin
  foreach role in array array['meterline_board', 'meterline_revenue'] loop
    if exists (select from pg_roles where rolname = role) then
      -- Numbers of conflicts and units, and when: not whose meter it is.
      execute format('grant usage on schema rollout to %I', role);
      execute format('grant select on sync.completeness, rollout.conflict_step to %I', role);
      execute format('grant execute on function rollout.conflicts_resolved to %I', role);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'meterline_app') then
    grant select, insert, update on sync.completeness to meterline_app;
  end if;
end
$$;
