-- name: unit
select unit_id, kind, name from grid.unit where code = %(code)s

-- name: results
-- One row of arrays, in the order of time; NULL arrays where there is nothing. Days and shorter intervals alike.
select
  array_agg((extract(epoch from observed_at) * 1000000)::bigint order by observed_at, interval_s),
  array_agg(interval_s::bigint order by observed_at, interval_s),
  array_agg(computable::int::bigint order by observed_at, interval_s),
  array_agg(inflow_wh order by observed_at, interval_s),
  array_agg(outflow_wh order by observed_at, interval_s),
  array_agg(loss_wh order by observed_at, interval_s),
  array_agg(members_loss_wh order by observed_at, interval_s),
  array_agg(generation_wh order by observed_at, interval_s),
  array_agg(estimated_wh order by observed_at, interval_s),
  array_agg(reasons::bigint order by observed_at, interval_s),
  array_agg(coalesce(technical_wh, 'NaN') order by observed_at, interval_s),
  array_agg(coalesce(technical_sigma_wh, 'NaN') order by observed_at, interval_s),
  array_agg(sigma_wh order by observed_at, interval_s),
  array_agg(systematic_sigma_wh order by observed_at, interval_s)
from loss.balance
where unit_id = %(unit_id)s
  and observed_at > %(begin)s
  and observed_at <= %(end)s
  and observed_at - interval_s * interval '1 second' >= %(begin)s

-- name: memberships
-- Those that hold at any time from one instant to another, as now believed.
select m.position, m.meter, m.child_id, c.code, m.role, m.multiplier, lower(m.valid), upper(m.valid)
from grid.member m
left join grid.unit c on c.unit_id = m.child_id
where m.unit_id = %(unit_id)s
  and upper_inf(m.recorded)
  and (m.valid && tstzrange(%(begin)s, %(end)s, '[]')) is true
order by m.position, lower(m.valid)

-- name: replacements
-- Meters that took the place of another at a usage point; of the unit's, before or after.
select a.code, b.code, lower(i.valid)
from grid.installation i
join grid.installation j on j.usage_point_id = i.usage_point_id and upper(j.valid) = lower(i.valid) and upper_inf(j.recorded)
join grid.meter a on a.meter_id = j.meter_id
join grid.meter b on b.meter_id = i.meter_id
where i.meter_id = any(
    select m.meter_id from grid.member m where m.unit_id = %(unit_id)s and m.meter is not null and upper_inf(m.recorded)
  )
  and upper_inf(i.recorded)
  and lower(i.valid) > %(begin)s
  and lower(i.valid) < %(end)s
order by 3, 1

-- name: classes
select g.code, lower(s.valid), r.accuracy_class::float8, s.accuracy_class::float8
from grid.meter_state s
join grid.meter_state r on r.meter_id = s.meter_id and upper(r.valid) = lower(s.valid) and upper_inf(r.recorded)
join grid.meter g on g.meter_id = s.meter_id
where s.meter_id = any(
    select m.meter_id from grid.member m where m.unit_id = %(unit_id)s and m.meter is not null and upper_inf(m.recorded)
  )
  and upper_inf(s.recorded)
  and lower(s.valid) > %(begin)s
  and lower(s.valid) < %(end)s
  and r.accuracy_class <> s.accuracy_class
order by 2, 1

-- name: energies
-- Net import of members, each times a factor, summed by step and interval: from whichever unit they stood in.
with wanted as (
  select *
  from unnest(
    %(steps)s::int[], %(meters)s::text[], %(children)s::int[], %(factors)s::float8[], %(late_factors)s::float8[]
  ) as w (step, meter, child_id, factor, late_factor)
), stay as (
  select w.meter, w.child_id, m.unit_id, m.position, m.multiplier, m.valid
  from (select distinct meter, child_id from wanted) w
  join grid.member m on m.meter = w.meter or m.child_id = w.child_id
  where upper_inf(m.recorded) and (m.valid && tstzrange(%(begin)s, %(end)s)) is true
), energy as (
  select distinct on (s.meter, s.child_id, b.observed_at)
    s.meter,
    s.child_id,
    b.observed_at,
    (
      b.import_wh[s.position + 1]::float8
      - greatest(coalesce(b.export_wh[s.position + 1], 0), 0)
    ) * s.multiplier as net_wh
  from stay s
  join telemetry.block b on b.unit_id = s.unit_id
  where b.interval_s between %(shortest_s)s and %(longest_s)s
    and b.observed_at > %(begin)s
    and b.observed_at <= %(end)s
    and (s.valid && tstzrange(b.observed_at - b.interval_s * interval '1 second', b.observed_at)) is true
    and b.import_wh[s.position + 1] >= 0
  order by s.meter, s.child_id, b.observed_at, s.unit_id, s.position
)
select
  w.step,
  (extract(epoch from e.observed_at) * 1000000)::bigint,
  sum(w.factor * e.net_wh),
  sum(w.late_factor * e.net_wh)
from wanted w
join energy e on e.meter is not distinct from w.meter and e.child_id is not distinct from w.child_id
group by 1, 2

-- name: members_loss
-- Loss inside members that are units, where the unit counts it, for their part of the interval by time: as it was settled.
select
  w.step,
  (extract(epoch from b.observed_at) * 1000000)::bigint,
  b.interval_s,
  b.loss_wh[m.position + 1],
  (extract(epoch from greatest(lower(m.valid), b.observed_at - b.interval_s * interval '1 second')) * 1000000)::bigint,
  (extract(epoch from least(coalesce(upper(m.valid), b.observed_at), b.observed_at)) * 1000000)::bigint
from unnest(%(steps)s::int[], %(children)s::int[]) as w (step, child_id)
join grid.member m on m.child_id = w.child_id and m.unit_id = %(unit_id)s and upper_inf(m.recorded)
join telemetry.block b on b.unit_id = m.unit_id
where b.interval_s between %(shortest_s)s and %(longest_s)s
  and b.observed_at > %(begin)s
  and b.observed_at <= %(end)s
  and (m.valid && tstzrange(b.observed_at - b.interval_s * interval '1 second', b.observed_at)) is true
  and b.import_wh[m.position + 1] >= 0
  and b.loss_wh[m.position + 1] > -9223372036854775808

-- name: returned
-- What the unit gave back through its gateways.
select (extract(epoch from b.observed_at) * 1000000)::bigint, sum(greatest(b.export_wh[m.position + 1], 0) * m.multiplier)::bigint
from grid.member m
join telemetry.block b on b.unit_id = m.unit_id
where m.unit_id = %(unit_id)s
  and m.role & 1 = 1
  and upper_inf(m.recorded)
  and b.interval_s between %(shortest_s)s and %(longest_s)s
  and b.observed_at > %(begin)s
  and b.observed_at <= %(end)s
  and (m.valid && tstzrange(b.observed_at - b.interval_s * interval '1 second', b.observed_at)) is true
group by 1
