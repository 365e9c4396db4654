-- name: substation
-- Of a feeder: where its head is connected, at the instant.
select n.substation, s.medium_voltage_v
from grid.unit u
join grid.connection c on c.unit_id = u.unit_id
join grid.node n on n.node_id = c.from_node_id
join grid.substation s on s.code = n.substation
where u.code = %(feeder)s and upper_inf(c.recorded) and c.valid @> %(at)s::timestamptz

-- name: segments
select code, resistance_ohm, reactance_ohm from grid.segment where code = any(%(codes)s)

-- name: plates
-- Areas and dedicated customers, with what was on the plates of their transformers at the instant, and whether their
-- loss is the line's: of areas metered at the low-voltage side.
select
  u.code, u.unit_id, u.kind = 'area' and coalesce(s.metered_side, 'low') = 'low', s.rating_va, s.no_load_loss_w,
  s.load_loss_w
from grid.unit u
left join grid.unit_state s
  on s.unit_id = u.unit_id and (upper_inf(s.recorded)) is true and (s.valid @> %(at)s::timestamptz) is true
where u.code = any(%(codes)s)

-- name: plate_instants
-- When what is on the plates of some units, or the side of metering, begins and ends to hold.
select distinct grid.us(v.instant)
from grid.unit u
join grid.unit_state s on s.unit_id = u.unit_id and (upper_inf(s.recorded)) is true
cross join lateral (values (lower(s.valid)), (upper(s.valid))) as v (instant)
where u.code = any(%(codes)s) and isfinite(v.instant)
