-- name: model_version
select version from grid.model_version

-- name: units
select u.unit_id, u.code, u.kind, s.medium_voltage_v
from grid.unit u
left join grid.substation s on s.code = u.substation
where u.code = any(%(codes)s)

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
  grid.whole_class(s.accuracy_class, s.ct_class, s.pt_class),
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
  coalesce(grid.whole_class(s.accuracy_class, s.ct_class, s.pt_class), g.accuracy_class::float8),
  case when s.belief_id is null then g.register_modulus_wh else s.register_modulus_wh end,
  grid.us(lower(s.valid)),
  grid.us(upper(s.valid))
from grid.meter g
left join grid.meter_state s on s.meter_id = g.meter_id and (s.recorded @> %(known_at)s::timestamptz) is true
where g.code = any(%(meters)s)

-- name: gateway_states
-- The class of each gateway meter of a unit, with its transformers, while it is one.
select
  m.unit_id,
  coalesce(grid.whole_class(s.accuracy_class, s.ct_class, s.pt_class), g.accuracy_class::float8),
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
  grid.us(upper(m.valid)),
  p.kind
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

-- name: inner
-- Members of voltage levels, while a unit of which they are part is a member of the same level.
select m.unit_id, m.child_id, grid.us(lower(p.valid)), grid.us(upper(p.valid))
from grid.unit u
join grid.member m on m.unit_id = u.unit_id and (m.recorded @> %(known_at)s::timestamptz) is true
cross join lateral (
  select m.valid * a.valid * b.valid as valid
  from grid.member a
  join grid.member b on b.child_id = a.unit_id and b.unit_id = m.unit_id
  where a.child_id = m.child_id
    and (a.recorded @> %(known_at)s::timestamptz) is true
    and (b.recorded @> %(known_at)s::timestamptz) is true
) p
where u.unit_id = any(%(unit_ids)s) and u.kind = 'voltage_level' and not isempty(p.valid)
order by 1, 2, 3

-- name: plates
-- The transformers of areas and dedicated customers.
select
  s.unit_id,
  coalesce(s.metered_side, case u.kind when 'area' then 'low' else 'high' end),
  coalesce(s.rating_va, 0)::float8,
  coalesce(s.no_load_loss_w, 0),
  coalesce(s.load_loss_w, 0),
  grid.us(lower(s.valid)),
  grid.us(upper(s.valid))
from grid.unit u
join grid.unit_state s on s.unit_id = u.unit_id and (s.recorded @> %(known_at)s::timestamptz) is true
where u.unit_id = any(%(unit_ids)s) and u.kind in ('area', 'dedicated')
order by s.unit_id, lower(s.valid) nulls first

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
