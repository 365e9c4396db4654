-- name: substation
select name, high_voltage_v, medium_voltage_v from grid.substation where code = %(code)s

-- name: add_substation
insert into grid.substation (code, name, high_voltage_v, medium_voltage_v)
values (%(code)s, %(name)s, %(high_voltage_v)s, %(medium_voltage_v)s)

-- name: add_unit
insert into grid.unit (
  code, kind, name, substation, gateway, owner, rating_va, no_load_loss_w, load_loss_w, longitude_deg, latitude_deg,
  metered_side
) values (
  %(code)s, %(kind)s, %(name)s, %(substation)s, %(gateway)s, %(owner)s, %(rating_va)s, %(no_load_loss_w)s,
  %(load_loss_w)s, %(longitude_deg)s, %(latitude_deg)s, %(metered_side)s
)
returning unit_id

-- name: add_account
insert into grid.account (code, tariff_class, contract_w, status)
values (%(code)s, %(tariff_class)s, %(contract_w)s, %(status)s)
returning account_id

-- name: usage_point
with made as (
  insert into grid.usage_point (code) values (%(code)s) on conflict do nothing returning usage_point_id
)
select usage_point_id from made
union all
select usage_point_id from grid.usage_point where code = %(code)s
limit 1

-- name: members
-- Of a unit, from an instant on, as now believed.
select
  m.unit_id, u.code, m.position, m.role, m.multiplier, lower(m.valid), upper(m.valid), m.meter, m.child_id, m.phases
from grid.member m
join grid.unit u using (unit_id)
where u.code = %(unit)s and upper_inf(m.recorded) and m.valid && tstzrange(%(at)s, null)
order by m.position, lower(m.valid)

-- name: memberships_of_child
select
  m.unit_id, u.code, m.position, m.role, m.multiplier, lower(m.valid), upper(m.valid), m.meter, m.child_id, m.phases
from grid.member m
join grid.unit u using (unit_id)
where m.child_id = %(child_id)s and upper_inf(m.recorded) and m.valid && tstzrange(%(at)s, null)
order by m.unit_id, lower(m.valid)

-- name: node
select node_id from grid.node where code = %(code)s

-- name: add_node
insert into grid.node (code, substation) values (%(code)s, %(substation)s) returning node_id

-- name: segment
select segment_id from grid.segment where code = %(code)s

-- name: add_segment
insert into grid.segment (code, length_m, resistance_ohm, reactance_ohm)
values (%(code)s, %(length_m)s, %(resistance_ohm)s, %(reactance_ohm)s)
returning segment_id

-- name: switch
select switch_id from grid.switch where code = %(code)s

-- name: add_switch
insert into grid.switch (code, kind, normal) values (%(code)s, %(kind)s, %(normal)s) returning switch_id

-- name: set_normal
update grid.switch set normal = %(normal)s where code = %(code)s and normal <> %(normal)s

-- name: connections
-- Of a piece of equipment, from an instant on, as now believed.
select from_node_id, to_node_id, breaker_id, lower(valid), upper(valid)
from grid.connection
where element = %(element)s and upper_inf(recorded) and valid && tstzrange(%(at)s, null)
order by lower(valid)

-- name: close_connections
update grid.connection
set recorded = tstzrange(lower(recorded), %(instant)s)
where element = %(element)s and upper_inf(recorded) and valid && tstzrange(%(at)s, null)

-- name: keep_connection
-- What was closed is believed up to the instant.
insert into grid.connection (segment_id, switch_id, unit_id, from_node_id, to_node_id, breaker_id, valid, recorded)
select segment_id, switch_id, unit_id, from_node_id, to_node_id, breaker_id, valid * tstzrange(null, %(at)s),
  tstzrange(%(instant)s, null)
from grid.connection
where element = %(element)s and upper(recorded) = %(instant)s and not isempty(valid * tstzrange(null, %(at)s))

-- name: connect
insert into grid.connection (segment_id, switch_id, unit_id, from_node_id, to_node_id, breaker_id, valid, recorded)
values (
  %(segment_id)s, %(switch_id)s, %(unit_id)s, %(node)s, %(to_node)s, %(breaker)s,
  tstzrange(%(at)s, null), tstzrange(%(instant)s, null)
)

-- name: lines_near
-- Feeders and areas of the substations where a piece of equipment is or was connected: whose flow it may change.
with at_node as (
  select distinct n.substation
  from grid.connection c
  join grid.node n on n.node_id in (c.from_node_id, c.to_node_id)
  where c.element = %(element)s
)
select u.code
from grid.unit u
join grid.unit_state t on t.unit_id = u.unit_id and upper_inf(t.recorded) and t.valid && tstzrange(%(at)s, null)
where u.kind = 'feeder' and t.substation in (select substation from at_node)
order by u.code
