-- name: model_version
select version from grid.model_version

-- name: units
select unit_id, code, kind from grid.unit where code = any(%(codes)s)

-- name: members
-- Periods are compared with `is true`, here and below, to keep them from the gist indexes that exclude overlaps: nearly
-- every row's period has today in it, and with statistics that are missing or old, as after a model was loaded, the
-- planner reads such an index whole for each member (seen: minutes for 500 areas).
-- A belief whose recorded period is open is what is known at any time from its beginning on. What is known of a meter
-- mostly holds for all of its membership: where it doesn't, or where the member is a unit, the state is null here, and
-- `states` says more.
select
  m.unit_id,
  m.position,
  m.meter,
  m.child_id,
  m.role,
  m.multiplier,
  s.accuracy_class::float8,
  s.register_modulus_wh,
  m.phases,
  grid.us(lower(m.valid)),
  grid.us(upper(m.valid)),
  first.import_wh,
  first.export_wh,
  last.import_wh,
  last.export_wh
from grid.member m
left join grid.meter_state s
  on s.meter_id = m.meter_id and (s.recorded @> %(known_at)s::timestamptz) is true and (s.valid @> m.valid) is true
left join grid.register_reading first
  on first.meter_id = m.meter_id and first.read_at = lower(m.valid) and (first.recorded @> %(known_at)s::timestamptz) is true
left join grid.register_reading last
  on last.meter_id = m.meter_id and last.read_at = upper(m.valid) and (last.recorded @> %(known_at)s::timestamptz) is true
where m.unit_id = any(%(unit_ids)s) and (m.recorded @> %(known_at)s::timestamptz) is true
order by m.unit_id, m.position, lower(m.valid)

-- name: meter_states
-- Of meters whose state changes while they are members, or isn't known for all of that time.
select
  g.code,
  coalesce(s.accuracy_class, g.accuracy_class)::float8,
  case when s.belief_id is null then g.register_modulus_wh else s.register_modulus_wh end,
  grid.us(lower(s.valid)),
  grid.us(upper(s.valid))
from grid.meter g
left join grid.meter_state s on s.meter_id = g.meter_id and (s.recorded @> %(known_at)s::timestamptz) is true
where g.code = any(%(meters)s)

-- name: gateway_states
-- The class of each gateway meter of a unit, while it is one.
select
  m.unit_id,
  coalesce(s.accuracy_class, g.accuracy_class)::float8,
  grid.us(lower(m.valid * coalesce(s.valid, '(,)'))),
  grid.us(upper(m.valid * coalesce(s.valid, '(,)')))
from grid.member m
join grid.meter g on g.code = m.meter
left join grid.meter_state s
  on s.meter_id = m.meter_id and (s.recorded @> %(known_at)s::timestamptz) is true and (s.valid && m.valid) is true
where m.unit_id = any(%(unit_ids)s) and m.role & 1 = 1 and (m.recorded @> %(known_at)s::timestamptz) is true

-- name: parents
select
  m.child_id,
  p.unit_id,
  p.code,
  grid.us(lower(m.valid)),
  grid.us(upper(m.valid))
from grid.member m
join grid.unit p on p.unit_id = m.unit_id
where m.child_id = any(%(unit_ids)s) and (m.recorded @> %(known_at)s::timestamptz) is true

-- name: area_networks
select
  unit_id, grid.us(lower(valid)), grid.us(upper(valid)),
  parent, resistance_ohm, reactance_ohm, zero_resistance_ohm, zero_reactance_ohm, meters, meter_node
from grid.area_network
where unit_id = any(%(unit_ids)s) and (recorded @> %(known_at)s::timestamptz) is true
order by unit_id, lower(valid)

-- name: directory
select code, kind, gateway from grid.unit

-- name: lapses
-- Parts of customers' memberships in which no active account is served where the meter stands.
select m.unit_id, m.position, grid.us(lower(gap)), grid.us(upper(gap))
from grid.member m
cross join lateral (
  select coalesce(range_agg(i.valid * s.valid * a.valid), '{}') as periods
  from grid.installation i
  join grid.service s on s.usage_point_id = i.usage_point_id and (s.recorded @> %(known_at)s::timestamptz) is true
  join grid.account_state a on a.account_id = s.account_id and (a.recorded @> %(known_at)s::timestamptz) is true
  where i.meter_id = m.meter_id
    and (i.recorded @> %(known_at)s::timestamptz) is true
    and a.status = 'active'
) active
cross join lateral unnest(tstzmultirange(m.valid) - active.periods) as gap
where m.unit_id = any(%(unit_ids)s) and m.role & 2 = 2 and m.meter is not null and (m.recorded @> %(known_at)s::timestamptz) is true
order by 1, 2, 3
