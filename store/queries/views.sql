-- name: units
select unit_id, code, kind from grid.unit where code = any(%(codes)s)

-- name: members
-- A child's accuracy is that of its gateway meters.
select
  m.unit_id,
  m.position,
  m.meter,
  m.child_id,
  m.role,
  m.multiplier,
  coalesce(
    meter.accuracy_class,
    (
      select max(g.accuracy_class)
      from grid.member c
      join grid.meter g on g.code = c.meter
      where c.unit_id = m.child_id and c.role & 1 = 1 and upper_inf(c.recorded)
    ),
    0
  )::float8,
  case when lower_inf(m.valid) then null else (extract(epoch from lower(m.valid)) * 1000000)::bigint end,
  case when upper_inf(m.valid) then null else (extract(epoch from upper(m.valid)) * 1000000)::bigint end
from grid.member m
left join grid.meter meter on meter.code = m.meter
where m.unit_id = any(%(unit_ids)s) and upper_inf(m.recorded)
order by m.unit_id, m.position

-- name: parents
select
  m.child_id,
  p.unit_id,
  p.code,
  case when lower_inf(m.valid) then null else (extract(epoch from lower(m.valid)) * 1000000)::bigint end,
  case when upper_inf(m.valid) then null else (extract(epoch from upper(m.valid)) * 1000000)::bigint end
from grid.member m
join grid.unit p on p.unit_id = m.unit_id
where m.child_id = any(%(unit_ids)s) and upper_inf(m.recorded)

-- name: directory
select code, kind, gateway from grid.unit
