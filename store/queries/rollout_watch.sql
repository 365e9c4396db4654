-- name: places
-- The assessment unit at which what concerns an organisation is told: the highest that it answers for, else any highest.
select o.code,
  (
    select u.code
    from rollout.units_of(o.code, %(at)s) join grid.unit u using (unit_id)
    order by array_position(array['region', 'voltage_level', 'feeder', 'element', 'area', 'dedicated'], u.kind), u.code
    limit 1
  ) as place
from unnest(%(codes)s::text[]) as o (code)
union all
select null, (
  select u.code
  from rollout.units_of(null, %(at)s) join grid.unit u using (unit_id)
  order by array_position(array['region', 'voltage_level', 'feeder', 'element', 'area', 'dedicated'], u.kind), u.code
  limit 1
)
