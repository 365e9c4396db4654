-- name: lock
-- One writes at a time; that takes no time to speak of.
select pg_advisory_xact_lock(hashtextextended('usage.association', 0))

-- name: due
-- Areas with enough days behind them that weren't looked at since a day, those longest ago first.
select a.unit_id, u.code
from usage.area a
join grid.unit u using (unit_id)
left join usage.association s using (unit_id)
where u.kind = 'area' and a.first_day <= %(first_day)s
  and (s.through is null or s.through <= case when %(unit)s::text is null then %(since)s::date else %(day)s::date end)
  and (%(unit)s::text is null or u.code = %(unit)s)
order by s.through nulls first, a.unit_id
limit %(limit)s

-- name: neighbours
-- Areas behind the same feeder at an instant, the nearest first; by their codes where positions aren't known.
with own as (
  select m.unit_id as feeder_id
  from grid.member m
  where m.child_id = %(unit_id)s and m.parent_kind = 3 and (m.recorded @> 'infinity'::timestamptz) is true
    and (m.valid @> %(at)s::timestamptz) is true
  limit 1
), placed as (
  select
    u.unit_id, u.code, s.longitude_deg, s.latitude_deg, row_number() over (order by u.code) as place
  from own
  join grid.member m on m.unit_id = own.feeder_id and m.child_id is not null
  join grid.unit u on u.unit_id = m.child_id and u.kind = 'area'
  left join grid.unit_state s
    on s.unit_id = u.unit_id and (s.recorded @> 'infinity'::timestamptz) is true
    and (s.valid @> %(at)s::timestamptz) is true
  where (m.recorded @> 'infinity'::timestamptz) is true and (m.valid @> %(at)s::timestamptz) is true
)
select p.code
from placed p
join placed o on o.unit_id = %(unit_id)s and p.unit_id <> o.unit_id
order by
  (p.latitude_deg - o.latitude_deg) ^ 2 + ((p.longitude_deg - o.longitude_deg) * cosd(o.latitude_deg)) ^ 2,
  abs(p.place - o.place), p.code
limit %(limit)s

-- name: interval
-- The length of interval that most of an area's voltages have.
select interval_s
from telemetry.block
where unit_id = %(unit_id)s and observed_at > %(begin)s and observed_at <= %(end)s and interval_s <= 3600
  and voltage_a_dv is not null
group by interval_s
order by count(*) * interval_s desc, interval_s
limit 1

-- name: quantities
select
  grid.us(observed_at), voltage_a_dv, voltage_b_dv, voltage_c_dv, current_a_ca, current_b_ca, current_c_ca,
  power_factor_permille, import_wh, export_wh, quality
from telemetry.block
where unit_id = %(unit_id)s and observed_at > %(begin)s and observed_at <= %(end)s and interval_s = %(interval_s)s
order by observed_at

-- name: advance
insert into usage.association (unit_id, through, meters, doubted)
values (%(unit_id)s, %(through)s, %(meters)s, %(doubted)s)
on conflict (unit_id) do update
set through = excluded.through, meters = excluded.meters, doubted = excluded.doubted
where association.through <= excluded.through

-- name: held
select finding_id, meter, kind, source, opened_at, seen_at, ended_at, alert_finding_id
from usage.finding
where unit_id = %(unit_id)s and source = 'records' and ended_at is null
order by finding_id

-- name: forget_measured
delete from sync.measured_area where meter = any(%(meters)s)

-- name: add_measured
insert into sync.measured_area (meter, area, confidence, measured_at)
select * from unnest(%(meters)s::text[], %(areas)s::text[], %(confidences)s::real[], %(ats)s::timestamptz[])
on conflict (meter) do update
set area = excluded.area, confidence = excluded.confidence, measured_at = excluded.measured_at
