-- name: switch
select s.switch_id, s.normal
from grid.switch s
where s.code = %(switch)s

-- name: reported
-- Whether the very same is believed already.
select
from grid.switch_position
where switch_id = %(switch_id)s
  and position = %(position)s
  and lower(valid) = %(at)s
  and upper_inf(recorded)

-- name: periods
select
  position,
  (extract(epoch from lower(valid)) * 1000000)::bigint,
  case when upper_inf(valid) then null else (extract(epoch from upper(valid)) * 1000000)::bigint end,
  lower(recorded)
from grid.switch_position
where switch_id = %(switch_id)s and upper_inf(recorded)
order by lower(valid)

-- name: substations_of_switch
-- Where it is connected from the instant on; none when it isn't at that instant.
select distinct n.substation
from grid.connection c
join grid.node n on n.node_id in (c.from_node_id, c.to_node_id)
where c.element = %(switch_id)s::bigint * 3 + 1
  and upper_inf(c.recorded)
  and c.valid && tstzrange(%(at)s, null)
  and exists (
    select from grid.connection o where o.element = c.element and upper_inf(o.recorded) and o.valid @> %(at)s
  )

-- name: close_position
update grid.switch_position
set recorded = tstzrange(lower(recorded), %(instant)s)
where switch_id = %(switch_id)s
  and upper_inf(recorded)
  and valid = tstzrange(%(valid_from)s, %(valid_to)s)

-- name: add_position
insert into grid.switch_position (switch_id, position, valid, recorded)
values (%(switch_id)s, %(position)s, tstzrange(%(valid_from)s, %(valid_to)s), tstzrange(%(instant)s, null))

-- name: neighbours
-- Substations that something which conducts, or does so at some time from the instant on, joins to the given ones; or
-- any switch, where asked for.
with own as (
  select node_id, substation from grid.node where substation = any(%(substations)s)
), crossing as (
  select c.element, c.switch_id, f.substation
  from own
  join grid.connection c on c.from_node_id = own.node_id
  join grid.node f on f.node_id = c.to_node_id
  where f.substation <> all(%(substations)s) and upper_inf(c.recorded) and c.valid && tstzrange(%(at)s, null)
  union all
  select c.element, c.switch_id, f.substation
  from own
  join grid.connection c on c.to_node_id = own.node_id
  join grid.node f on f.node_id = c.from_node_id
  where f.substation <> all(%(substations)s) and upper_inf(c.recorded) and c.valid && tstzrange(%(at)s, null)
)
select distinct c.substation
from crossing c
left join grid.switch s using (switch_id)
where %(open_too)s
  or c.switch_id is null
  or s.normal = 'closed'
  or exists (
    select from grid.switch_position p
    where p.switch_id = c.switch_id
      and p.position = 'closed'
      and upper_inf(p.recorded)
      and p.valid && tstzrange(%(at)s, null)
  )

-- name: nodes
select code from grid.node where substation = any(%(substations)s) order by node_id

-- name: connections
-- Of the time from the instant on. Nodes of other substations that an open tie leads to are named too.
select
  g.code, s.code, s.normal, u.code, u.kind, f.code, t.code, b.code, b.normal,
  case when lower_inf(c.valid) then null else (extract(epoch from lower(c.valid)) * 1000000)::bigint end,
  case when upper_inf(c.valid) then null else (extract(epoch from upper(c.valid)) * 1000000)::bigint end
from grid.node f
join grid.connection c on c.from_node_id = f.node_id
left join grid.node t on t.node_id = c.to_node_id
left join grid.segment g on g.segment_id = c.segment_id
left join grid.switch s on s.switch_id = c.switch_id
left join grid.unit u on u.unit_id = c.unit_id
left join grid.switch b on b.switch_id = c.breaker_id
where f.substation = any(%(substations)s)
  and upper_inf(c.recorded)
  and c.valid && tstzrange(%(at)s, null)
order by c.element, lower(c.valid)

-- name: positions
select
  s.code,
  p.position = 'closed',
  (extract(epoch from lower(p.valid)) * 1000000)::bigint,
  case when upper_inf(p.valid) then null else (extract(epoch from upper(p.valid)) * 1000000)::bigint end
from grid.switch_position p
join grid.switch s using (switch_id)
where s.code = any(%(switches)s)
  and upper_inf(p.recorded)
  and p.valid && tstzrange(%(at)s, null)

-- name: parents
-- Memberships of areas in feeders, as now believed.
select
  c.code, m.unit_id, p.code, m.position, m.role, m.multiplier, lower(m.valid), upper(m.valid), m.meter, m.child_id,
  m.phases
from grid.unit c
join grid.member m on m.child_id = c.unit_id and upper_inf(m.recorded)
join grid.unit p on p.unit_id = m.unit_id and p.kind = 'feeder'
where c.code = any(%(areas)s)
order by lower(m.valid) nulls first

-- name: unit_ids
select code, unit_id from grid.unit where code = any(%(units)s)
