-- depends: 0022.sync
-- What the boards show that only programs knew: how far workers are behind and how long their writes take, and why a
-- feeder's day lost more or less than the day before.

create table telemetry.worker_state (
  at timestamptz not null default now(),
  worker text not null,
  part text not null,
  lag_records bigint check (lag_records >= 0),
  batches integer not null check (batches >= 0),
  records bigint not null check (records >= 0),
  readings bigint not null check (readings >= 0),
  flush_s double precision check (flush_s >= 0),
  slowest_flush_s double precision check (slowest_flush_s >= 0),
  over_s double precision not null check (over_s > 0),
  primary key (at, worker, part)
);
comment on table telemetry.worker_state is 'Of the last day: a row of each part of a worker, written by itself every few seconds';
comment on column telemetry.worker_state.lag_records is 'Records in Kafka that the part has not acknowledged; NULL: Kafka did not tell';
comment on column telemetry.worker_state.batches is 'Batches made durable since the row before; so records and readings';
comment on column telemetry.worker_state.flush_s is 'Mean time from taking a batch to its commit; NULL: there was none';
comment on column telemetry.worker_state.over_s is 'Seconds since the row before';

-- What `meterline why` finds for a feeder's published day against the day before.
create table loss.day_change (
  unit_id integer not null references grid.unit (unit_id),
  first_day date not null,
  revision integer not null,
  revision_before integer not null,
  before_wh bigint,
  length_wh bigint,
  data_quality_wh bigint,
  topology_wh bigint,
  meter_wh bigint,
  generation_wh bigint,
  technical_wh bigint,
  unexplained_wh bigint,
  unexplained_sigma_wh double precision,
  recorded_at timestamptz not null default now(),
  primary key (unit_id, first_day)
);
comment on column loss.day_change.revision is 'Of the day, as published; revision_before of the day before';
comment on column loss.day_change.before_wh is 'Loss of the day before in the intervals that both have or one lacks; NULL: nothing to compare';

-- As before, but an array is unpacked once and not for each of its meters.
create or replace function telemetry.area_phases(area integer, from_at timestamptz, to_at timestamptz)
returns table (
  observed_at timestamptz, interval_s integer, phase text, meters bigint, voltage_v double precision,
  power_w double precision
)
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select
    b.observed_at, b.interval_s, f.phase, count(*),
    percentile_cont(0.5) within group (order by (nullif(f.voltage_dv, -32768) / 10.0)::float8),
    sum(nullif(v.import_wh, -9223372036854775808)::float8 * m.multiplier / length(m.phases)) * 3600.0 / b.interval_s
  from grid.unit u
  join telemetry.block b on b.unit_id = u.unit_id
  cross join lateral unnest(b.import_wh, b.voltage_a_dv, b.voltage_b_dv, b.voltage_c_dv)
    with ordinality v (import_wh, voltage_a_dv, voltage_b_dv, voltage_c_dv, place)
  join grid.member m
    on m.unit_id = b.unit_id and m.position = v.place - 1 and m.meter is not null and m.role = 2
    and upper_inf(m.recorded) and m.valid @> b.observed_at - interval '1 microsecond'
  cross join lateral (
    values
      ('A', v.voltage_a_dv),
      -- A single-phase meter's voltage stands in the first channel.
      ('B', case when length(m.phases) = 1 then v.voltage_a_dv else v.voltage_b_dv end),
      ('C', case when length(m.phases) = 1 then v.voltage_a_dv else v.voltage_c_dv end)
  ) f (phase, voltage_dv)
  where u.unit_id = area and u.kind = 'area' and position(f.phase in m.phases) > 0 and b.interval_s <= 3600
    and b.observed_at > greatest(from_at, to_at - interval '8 days') and b.observed_at <= to_at
  group by b.observed_at, b.interval_s, f.phase
  having count(*) >= 5
  order by b.observed_at, f.phase;
end;

create index consistency_day on sync.consistency (day, relation) include (relations, consistent);
create index conflict_opened on sync.conflict (opened_at) where closed_at is null;

do $$
declare
  role text;
begin
  foreach role in array array['meterline_board', 'meterline_revenue'] loop
    if exists (select from pg_roles where rolname = role) then
      execute format('grant select on telemetry.worker_state, loss.day_change, sync.consistency to %I', role);
      -- How many conflicts there are and whose, not what the records say.
      execute format('grant select (conflict_id, kind, entity_kind, system, department, confidence, opened_at, closed_at) on sync.conflict to %I', role);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'meterline_app') then
    grant select, insert, update, delete on telemetry.worker_state, loss.day_change to meterline_app;
  end if;
end
$$;
