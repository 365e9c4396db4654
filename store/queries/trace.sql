-- name: unit
-- With the substation of the node that it is connected to at the instant, NULL when it isn't.
select
  case when u.kind = 'feeder' then 'feeder' else 'area' end,
  (
    select n.substation
    from grid.connection c
    join grid.node n on n.node_id = c.from_node_id
    where c.unit_id = u.unit_id and upper_inf(c.recorded) and c.valid @> %(at)s
  )
from grid.unit u
where u.code = %(code)s

-- name: switch
select
  'switch',
  (
    select n.substation
    from grid.connection c
    join grid.node n on n.node_id = c.from_node_id
    where c.switch_id = s.switch_id and upper_inf(c.recorded) and c.valid @> %(at)s
  )
from grid.switch s
where s.code = %(code)s

-- name: reported
-- The report that holds at the instant.
select lower(p.valid)
from grid.switch_position p
join grid.switch s using (switch_id)
where s.code = %(code)s and upper_inf(p.recorded) and p.valid @> %(at)s

-- name: segments
select code, length_m, resistance_ohm, reactance_ohm from grid.segment where code = any(%(codes)s)

-- name: kinds
select code, kind from grid.switch where code = any(%(codes)s)
