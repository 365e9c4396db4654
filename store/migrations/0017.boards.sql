-- depends: 0015.networks
-- What the boards read beside the tables themselves: aggregates of an area that name no customer, the place of a unit,
-- how many meters a unit has, and indexes of what boards ask for.

-- Meters of an area or a dedicated customer now: counting 1.6 million members would take longer than a panel may.
create table grid.unit_size (
  unit_id integer primary key references grid.unit (unit_id),
  meters integer not null check (meters >= 0)
);
comment on column grid.unit_size.meters is 'Members that are meters and that nothing is recorded to end';

create function grid.count_meters() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into grid.unit_size (unit_id, meters)
  select c.unit_id, count(m.unit_id)
  from (select distinct unit_id from changed) c
  join grid.unit u on u.unit_id = c.unit_id and u.kind in ('area', 'dedicated')
  left join grid.member m
    on m.unit_id = c.unit_id and m.meter is not null and upper_inf(m.valid) and upper_inf(m.recorded)
  group by c.unit_id
  on conflict (unit_id) do update set meters = excluded.meters where unit_size.meters <> excluded.meters;
  return null;
end
$$;
create trigger count_added after insert on grid.member
referencing new table as changed for each statement execute function grid.count_meters();
create trigger count_changed after update on grid.member
referencing new table as changed for each statement execute function grid.count_meters();
create trigger count_removed after delete on grid.member
referencing old table as changed for each statement execute function grid.count_meters();
insert into grid.unit_size (unit_id, meters)
select m.unit_id, count(*)
from grid.member m
join grid.unit u on u.unit_id = m.unit_id and u.kind in ('area', 'dedicated')
where m.meter is not null and upper_inf(m.valid) and upper_inf(m.recorded)
group by m.unit_id;

-- Limits of a kind of unit that hold at an instant; no row where none was recorded.
create function loss.limits_of(kind text, voltage_v integer, at timestamptz)
returns table (low_rate double precision, high_rate double precision)
language sql stable
begin atomic
  select t.low_rate, t.high_rate
  from loss.threshold t
  where t.unit_kind = kind and t.valid_from <= at and (t.medium_voltage_v is null or t.medium_voltage_v = voltage_v)
  order by t.medium_voltage_v nulls last, t.valid_from desc, t.recorded_at desc, t.threshold_id desc
  limit 1;
end;

-- What an area's meters show together. These run with the rights of their owner, so that who calls them needs none on the
-- readings themselves; of fewer than five meters they say nothing, and of at most 8 days at once.
create function telemetry.area_phases(area integer, from_at timestamptz, to_at timestamptz)
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
    sum(nullif(b.import_wh[m.position + 1], -9223372036854775808)::float8 * m.multiplier / length(m.phases))
      * 3600.0 / b.interval_s
  from grid.unit u
  join telemetry.block b on b.unit_id = u.unit_id
  join grid.member m
    on m.unit_id = b.unit_id and m.meter is not null and m.role = 2 and upper_inf(m.recorded)
    and m.valid @> b.observed_at - interval '1 microsecond'
  cross join lateral (
    values
      ('A', b.voltage_a_dv[m.position + 1]),
      -- A single-phase meter's voltage stands in the first channel.
      ('B', case when length(m.phases) = 1 then b.voltage_a_dv[m.position + 1] else b.voltage_b_dv[m.position + 1] end),
      ('C', case when length(m.phases) = 1 then b.voltage_a_dv[m.position + 1] else b.voltage_c_dv[m.position + 1] end)
  ) f (phase, voltage_dv)
  where u.unit_id = area and u.kind = 'area' and position(f.phase in m.phases) > 0 and b.interval_s <= 3600
    and b.observed_at > greatest(from_at, to_at - interval '8 days') and b.observed_at <= to_at
  group by b.observed_at, b.interval_s, f.phase
  having count(*) >= 5
  order by b.observed_at, f.phase;
end;

create function telemetry.area_spread(area integer, at timestamptz)
returns table (measure text, low integer, meters bigint)
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select x.measure, x.low::integer, count(*)
  from (
    select v.measure, v.low, count(*) over (partition by v.measure) as all_meters
    from grid.unit u
    join telemetry.block b on b.unit_id = u.unit_id and b.observed_at = at and b.interval_s <= 3600
    join grid.member m
      on m.unit_id = b.unit_id and m.meter is not null and m.role = 2 and upper_inf(m.recorded)
      and m.valid @> b.observed_at - interval '1 microsecond'
    cross join lateral (
      values
        ('voltage_v', floor(nullif(b.voltage_a_dv[m.position + 1], -32768) / 20.0) * 2),
        (
          'power_w',
          (array[0, 1, 100, 500, 1000, 2000, 5000, 10000])[1 + width_bucket(
            nullif(b.import_wh[m.position + 1], -9223372036854775808)::float8 * m.multiplier * 3600 / b.interval_s,
            array[1, 100, 500, 1000, 2000, 5000, 10000]::float8[]
          )]
        )
    ) v (measure, low)
    where u.unit_id = area and u.kind = 'area' and v.low is not null
  ) x
  where x.all_meters >= 5
  group by x.measure, x.low
  order by x.measure, x.low;
end;

-- For revenue protection alone: what each meter of a unit showed last, never what it showed before.
create function telemetry.newest_readings(unit integer)
returns table (
  observed_at timestamptz, interval_s integer, meter text, phases text, import_wh bigint, export_wh bigint,
  voltage_v double precision, quality integer
)
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select
    b.observed_at, b.interval_s, m.meter, m.phases,
    nullif(b.import_wh[m.position + 1], -9223372036854775808) * m.multiplier,
    nullif(b.export_wh[m.position + 1], -9223372036854775808) * m.multiplier,
    (nullif(b.voltage_a_dv[m.position + 1], -32768) / 10.0)::float8,
    case when m.position < length(b.quality) then get_byte(b.quality, m.position) else 1 end
  from (
    select * from telemetry.block b
    where b.unit_id = unit and b.observed_at > now() - interval '2 days' and b.interval_s <= 3600
    order by b.observed_at desc
    limit 1
  ) b
  join grid.unit u on u.unit_id = b.unit_id and u.kind in ('area', 'dedicated')
  join grid.member m
    on m.unit_id = b.unit_id and m.meter is not null and upper_inf(m.recorded)
    and m.valid @> b.observed_at - interval '1 microsecond'
  order by m.position;
end;
revoke all on function telemetry.area_phases, telemetry.area_spread, telemetry.newest_readings from public;

create index alert_current on alerts.alert (opened_at desc) where state not in ('resolved', 'closed');
create index alert_opened on alerts.alert (opened_at desc);
create index switch_position_began on grid.switch_position (lower(valid)) where upper_inf(recorded);
create index member_began on grid.member (lower(valid)) where upper_inf(recorded) and child_id is not null;
create index rejected_first on telemetry.rejected (first_at desc);

do $$
declare
  role text;
begin
  foreach role in array array['meterline_board', 'meterline_revenue'] loop
    if exists (select from pg_roles where rolname = role) then
      execute format('grant usage on schema grid, telemetry, loss, alerts, sync to %I', role);
      execute format('grant select on grid.substation, grid.unit, grid.unit_size, grid.model_version, loss.balance, loss.superseded, loss.period, loss.period_revision, loss.threshold, loss.reason, alerts.alert to %I', role);
      execute format('grant execute on function telemetry.area_phases, telemetry.area_spread to %I', role);
      -- How far deliveries are behind, not what they say.
      execute format('grant select (id, recorded_at) on grid.outbox to %I', role);
      execute format('grant select (topic, outbox_id) on sync.relay to %I', role);
      execute format('grant select (delivery_id, alert_id, target, created_at, due_at, attempts, delivered_at) on alerts.delivery to %I', role);
      execute format('grant select (delivery_id, outbox_id, target, created_at, due_at, attempts, delivered_at) on sync.delivery to %I', role);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'meterline_revenue') then
    grant select on grid.member to meterline_revenue;
    grant execute on function telemetry.newest_readings to meterline_revenue;
  end if;
end
$$;
