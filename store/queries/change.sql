-- name: unit
select unit_id, kind, name from grid.unit where code = %(code)s

-- name: results
-- One row of arrays, in the order of time; NULL arrays where there is nothing. Days and shorter intervals alike; those
-- that end in the span, as with days and months. Of what is published: what still gathers is in no day's figure either.
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
  array_agg((status = 'provisional')::int::bigint order by observed_at, interval_s),
  array_agg(coalesce(technical_wh, 'NaN') order by observed_at, interval_s),
  array_agg(coalesce(technical_sigma_wh, 'NaN') order by observed_at, interval_s),
  array_agg(sqrt(sigma_wh ^ 2 + gap_sigma_wh ^ 2) order by observed_at, interval_s),
  array_agg(systematic_sigma_wh order by observed_at, interval_s)
from loss.balance
where unit_id = %(unit_id)s
  and observed_at > %(begin)s
  and observed_at <= %(end)s
  and revision > 0

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

-- name: tree
-- All that lies below a unit, with the period in which it does, and that of its own membership. What is reached in two
-- ways stands twice, as it counts twice.
with recursive tree as (
  select m.child_id, m.valid * tstzrange(%(begin)s, %(end)s) as valid, m.valid as own
  from grid.member m
  where m.unit_id = %(unit_id)s
    and m.child_id is not null
    and upper_inf(m.recorded)
    and (m.valid && tstzrange(%(begin)s, %(end)s)) is true
  union all
  select m.child_id, m.valid * t.valid, m.valid
  from tree t
  join grid.member m on m.unit_id = t.child_id
  where m.child_id is not null
    and upper_inf(m.recorded)
    and (m.valid && t.valid) is true
)
select t.child_id, u.code, u.kind, lower(t.valid), upper(t.valid), lower(t.own), upper(t.own)
from tree t
join grid.unit u on u.unit_id = t.child_id
order by u.code, lower(t.valid)

-- name: tree_technical
-- Sums over units, each as often as it is named; of their own losses. A dedicated customer's own loss is none.
select
  (extract(epoch from l.observed_at) * 1000000)::bigint,
  sum(coalesce(l.technical_wh, case when u.kind = 'dedicated' then 0 end)),
  sqrt(sum(coalesce(l.technical_sigma_wh, 0) ^ 2)),
  count(coalesce(l.technical_wh, case when u.kind = 'dedicated' then 0 end)),
  sqrt(sum(l.sigma_wh ^ 2 + l.gap_sigma_wh ^ 2)),
  sqrt(sum(l.systematic_sigma_wh ^ 2))
from unnest(%(unit_ids)s::int[]) as w (unit_id)
join grid.unit u using (unit_id)
join loss.balance l using (unit_id)
where l.interval_s between %(shortest_s)s and %(longest_s)s
  and l.observed_at > %(begin)s
  and l.observed_at <= %(end)s
group by 1

-- name: tree_losses
select l.unit_id, (extract(epoch from l.observed_at) * 1000000)::bigint, l.interval_s, l.loss_wh
from loss.balance l
where l.unit_id = any(%(unit_ids)s)
  and l.interval_s between %(shortest_s)s and %(longest_s)s
  and l.observed_at > %(begin)s
  and l.observed_at <= %(end)s

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

-- name: unexplained_days
-- Published days of feeders since a date whose change against the day before isn't told yet, or was told of other figures.
select u.unit_id, u.code, a.first_day, a.revision, b.revision
from grid.unit u
join loss.period a
  on a.unit_id = u.unit_id and a.period = 'day' and a.revision > 0 and a.first_day >= %(since)s and a.ends_at <= now()
join loss.period b on b.unit_id = a.unit_id and b.period = 'day' and b.revision > 0 and b.first_day = a.first_day - 1
left join loss.day_change c
  on c.unit_id = a.unit_id and c.first_day = a.first_day and c.revision = a.revision and c.revision_before = b.revision
where u.kind = 'feeder' and c.unit_id is null
order by a.first_day desc, u.unit_id
limit %(limit)s

-- name: write_day_change
insert into loss.day_change (
  unit_id, first_day, revision, revision_before, before_wh, length_wh, data_quality_wh, topology_wh, meter_wh,
  generation_wh, technical_wh, unexplained_wh, unexplained_sigma_wh
) values (
  %(unit_id)s, %(first_day)s, %(revision)s, %(revision_before)s, %(before_wh)s, %(length_wh)s, %(data_quality_wh)s,
  %(topology_wh)s, %(meter_wh)s, %(generation_wh)s, %(technical_wh)s, %(unexplained_wh)s, %(unexplained_sigma_wh)s
)
on conflict (unit_id, first_day) do update set
  revision = excluded.revision, revision_before = excluded.revision_before, before_wh = excluded.before_wh,
  length_wh = excluded.length_wh, data_quality_wh = excluded.data_quality_wh, topology_wh = excluded.topology_wh,
  meter_wh = excluded.meter_wh, generation_wh = excluded.generation_wh, technical_wh = excluded.technical_wh,
  unexplained_wh = excluded.unexplained_wh, unexplained_sigma_wh = excluded.unexplained_sigma_wh, recorded_at = now()
