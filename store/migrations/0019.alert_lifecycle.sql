-- depends: 0015.networks
-- Findings, the life of alerts with its history, notices to roles, work orders, and the one door to a meter's series.

-- One row a condition from its begin to its end, however often it is seen. What alerts has to look at has a due_at, so
-- that a finding and what becomes of it are owed in the transaction that found it.
create table alerts.finding (
  finding_id bigint generated always as identity primary key,
  fingerprint text not null,
  kind text not null,
  severity text not null check (severity in ('info', 'warning', 'critical')),
  unit_id integer not null references grid.unit (unit_id),
  meter text,
  begin_at timestamptz not null,
  seen_at timestamptz not null,
  ended_at timestamptz,
  figures jsonb not null,
  evidence jsonb not null,
  due_at timestamptz,
  held_by text,
  alert_id bigint references alerts.alert (alert_id),
  result text check (result in ('confirmed', 'refuted', 'not_found')),
  check (ended_at is null or ended_at >= begin_at)
) with (fillfactor = 80);
create unique index finding_holds on alerts.finding (fingerprint) where ended_at is null;
create index finding_due on alerts.finding (due_at) where due_at is not null;
create index finding_alert on alerts.finding (alert_id) where alert_id is not null;
create index finding_unit on alerts.finding (unit_id, finding_id);
create index finding_ended on alerts.finding (ended_at) where ended_at is not null;
comment on column alerts.finding.figures is 'A flat object of numbers and short texts: what may leave the system';
comment on column alerts.finding.evidence is 'What stays inside: members, intervals, how it was found';
comment on column alerts.finding.due_at is 'When alerts has to look at it; NULL: nothing is to be done';
comment on column alerts.finding.held_by is 'Why no alert was opened when it was looked at: duration, maintenance, outage or missing_data';
comment on column alerts.finding.result is 'What a field check said';

alter table alerts.alert
  add column meter text,
  add column role text not null default 'control_room',
  add column group_key text not null default '',
  add column assignee text,
  add column version integer not null default 1,
  add column tier smallint not null default 0,
  add column escalate_at timestamptz,
  add column suppressed_until timestamptz,
  add column outcome text check (outcome in ('confirmed', 'refuted', 'not_found')),
  add column event text,
  add column expected_at timestamptz,
  add column resolved_at timestamptz,
  add column closed_at timestamptz;
update alerts.alert set resolved_at = updated_at where state in ('resolved', 'closed');
update alerts.alert set closed_at = updated_at where state = 'closed';
create index alert_escalation on alerts.alert (escalate_at) where state = 'open' and escalate_at is not null;
create index alert_suppression on alerts.alert (suppressed_until) where state = 'suppressed';
create index alert_event on alerts.alert (alert_id) where event is not null;
create index alert_unit on alerts.alert (unit_id, alert_id);
create index alert_closed on alerts.alert (closed_at) where closed_at is not null;
comment on column alerts.alert.role is 'Who operates it: the role to which its first route leads';
comment on column alerts.alert.group_key is 'Cause and feeder: alerts of one group share their notices';
comment on column alerts.alert.version is 'Raised with every change by a person: who changes names the one they read';
comment on column alerts.alert.expected_at is 'Until when it is expected to last, as a person said';
comment on column alerts.alert.event is 'What a person did that targets are still to be told';
comment on column alerts.alert.tier is 'How often it was escalated';

-- Who did what to an alert, when and why. Only added to.
create table alerts.transition (
  transition_id bigint generated always as identity primary key,
  alert_id bigint not null references alerts.alert (alert_id),
  at timestamptz not null,
  actor text not null,
  action text not null,
  from_state text,
  to_state text not null,
  reason text not null
);
create index transition_alert on alerts.transition (alert_id, transition_id);
comment on column alerts.transition.actor is 'A person or a token; meterline where the system did it by itself';
-- What was there before has the beginning of a history.
insert into alerts.transition (alert_id, at, actor, action, from_state, to_state, reason)
select alert_id, opened_at, 'meterline', 'open', null, state, 'recorded before there was a history' from alerts.alert;

create function alerts.keep_history() returns trigger
language plpgsql as $$
begin
  raise exception 'history is never changed';
end
$$;
create trigger keep before update or delete or truncate on alerts.transition
for each statement execute function alerts.keep_history();
create trigger keep before delete or truncate on alerts.alert
for each statement execute function alerts.keep_history();

-- A notice tells a target of one alert, or of all that came to a group within an interval.
alter table alerts.delivery alter column alert_id drop not null;
alter table alerts.delivery add column group_key text not null default '';
update alerts.delivery d set group_key = 'alert:' || d.alert_id where group_key = '';
create index delivery_group on alerts.delivery (target, group_key, created_at) where delivered_at is null;
create index delivery_replay on alerts.delivery (target, delivered_at) where delivered_at is not null;

create table alerts.notice (
  target text not null,
  group_key text not null,
  delivery_id uuid not null,
  due_at timestamptz not null,
  not_before timestamptz not null,
  primary key (target, group_key)
);
comment on table alerts.notice is 'The newest notice of each group to each target: another is not due before the interval is over';

-- While it lasts nothing new opens below the unit.
create table alerts.maintenance (
  maintenance_id bigint generated always as identity primary key,
  unit_id integer not null references grid.unit (unit_id),
  kinds text[] check (cardinality(kinds) between 1 and 32),
  during tstzrange not null check (not isempty(during) and not lower_inf(during) and not upper_inf(during)),
  reason text not null,
  created_by text not null,
  created_at timestamptz not null default now()
);
create index maintenance_unit on alerts.maintenance (unit_id);
comment on column alerts.maintenance.kinds is 'Kinds of alerts that it keeps back; NULL: all';

-- Days on which the week's pattern doesn't hold (节假日、调休).
create table alerts.holiday (
  day date primary key,
  working boolean not null,
  name text not null
);

create table alerts.work_order (
  work_order_id bigint generated always as identity primary key,
  alert_id bigint not null references alerts.alert (alert_id),
  state text not null default 'issued' check (state in ('issued', 'done', 'cancelled')),
  assignee text not null,
  created_at timestamptz not null,
  created_by text not null,
  deadline timestamptz not null,
  expected_wh bigint check (expected_wh >= 0),
  evidence jsonb not null,
  result text check (result in ('confirmed', 'refuted', 'not_found')),
  found_wh bigint check (found_wh >= 0),
  note text,
  done_at timestamptz,
  done_by text,
  version integer not null default 1,
  check ((state = 'done') = (result is not null)),
  check ((state = 'issued') = (done_at is null))
);
create unique index work_order_open on alerts.work_order (alert_id) where state = 'issued';
create index work_order_alert on alerts.work_order (alert_id);
comment on column alerts.work_order.expected_wh is 'Energy that is to be recovered if the finding is right';
comment on column alerts.work_order.evidence is 'What was known when it was issued; no series of readings';

-- Each reading of a meter's series for a finding.
create table alerts.series_read (
  series_read_id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  reader text not null,
  finding_id bigint not null,
  meter text not null,
  from_at timestamptz not null,
  to_at timestamptz not null
);
create trigger keep before update or delete or truncate on alerts.series_read
for each statement execute function alerts.keep_history();

-- The finding's own meter, or a customer's meter that hung on the finding's unit in that time; 92 days at most.
create function alerts.series_for(
  reader text, finding bigint, meter text, from_at timestamptz, to_at timestamptz
) returns table (
  observed_at timestamptz, interval_s integer, import_wh bigint, export_wh bigint,
  voltage_a_v double precision, voltage_b_v double precision, voltage_c_v double precision, quality integer
)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  of_unit integer;
begin
  if reader is null or finding is null or meter is null or from_at is null or to_at is null
     or not from_at < to_at or to_at - from_at > interval '92 days' then
    raise invalid_parameter_value using message = 'a meter''s series is read for at most 92 days at a time';
  end if;
  select f.unit_id into of_unit
  from alerts.finding f
  join alerts.alert a on a.alert_id = f.alert_id
  where f.finding_id = series_for.finding
    and a.state in ('open', 'acknowledged', 'in_progress')
    and a.assignee = series_for.reader
    and (
      f.meter = series_for.meter
      or f.meter is null and exists (
        select from grid.member m
        where m.unit_id = f.unit_id
          and m.meter = series_for.meter
          and upper_inf(m.recorded)
          and m.valid && tstzrange(from_at, to_at)
      )
    );
  if not found then
    raise insufficient_privilege using message = 'no open finding about this meter is assigned to you';
  end if;
  insert into alerts.series_read (reader, finding_id, meter, from_at, to_at)
  values (series_for.reader, series_for.finding, series_for.meter, series_for.from_at, series_for.to_at);
  return query
  select
    r.observed_at, r.interval_s, r.import_wh::bigint, r.export_wh::bigint,
    r.voltage_a_v::float8, r.voltage_b_v::float8, r.voltage_c_v::float8, r.quality::integer
  from telemetry.reading r
  where r.unit_id in (
      select m.unit_id from grid.member m
      where m.meter = series_for.meter and upper_inf(m.recorded) and m.valid && tstzrange(from_at, to_at)
    )
    and r.meter = series_for.meter
    and r.observed_at > from_at
    and r.observed_at <= to_at
  order by r.observed_at, r.interval_s;
end
$$;
revoke all on function alerts.series_for from public;

-- The same for whoever is logged in to the database: nobody can name another.
create function alerts.meter_series(finding bigint, meter text, from_at timestamptz, to_at timestamptz)
returns table (
  observed_at timestamptz, interval_s integer, import_wh bigint, export_wh bigint,
  voltage_a_v double precision, voltage_b_v double precision, voltage_c_v double precision, quality integer
)
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
  select * from alerts.series_for(session_user::text, finding, meter, from_at, to_at)
$$;
revoke all on function alerts.meter_series from public;

do $$
begin
  if exists (select from pg_roles where rolname = 'meterline_app') then
    grant execute on function alerts.series_for to meterline_app;
    revoke delete on alerts.alert, alerts.finding, alerts.work_order from meterline_app;
    revoke update, delete on alerts.transition, alerts.series_read from meterline_app;
    -- What ended long ago may go.
    grant delete on alerts.finding to meterline_app;
  end if;
  if exists (select from pg_roles where rolname = 'meterline_board') then
    -- A finding's evidence may name customers' meters: figures only.
    grant select (
      finding_id, fingerprint, kind, severity, unit_id, begin_at, seen_at, ended_at, figures, held_by, alert_id, result
    ) on alerts.finding to meterline_board;
    grant select on alerts.transition, alerts.maintenance, alerts.holiday to meterline_board;
    grant select (work_order_id, alert_id, state, created_at, deadline, expected_wh, result, found_wh, done_at)
      on alerts.work_order to meterline_board;
  end if;
  if exists (select from pg_roles where rolname = 'meterline_revenue') then
    grant usage on schema grid, loss, alerts to meterline_revenue;
    grant select on grid.unit, loss.balance, loss.threshold, alerts.alert, alerts.finding, alerts.transition,
      alerts.work_order to meterline_revenue;
    grant execute on function alerts.meter_series to meterline_revenue;
  end if;
end
$$;
