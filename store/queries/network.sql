-- name: stage
create temporary table stage_node (code text, substation text) on commit drop;
create temporary table stage_segment (
  code text, from_node text, to_node text,
  length_m double precision, resistance_ohm double precision, reactance_ohm double precision
) on commit drop;
create temporary table stage_switch (code text, from_node text, to_node text, kind text, normal text) on commit drop;
create temporary table stage_tap (unit text, node text, breaker text) on commit drop

-- name: nodes
insert into grid.node as n (code, substation)
select s.code, s.substation
from pg_temp.stage_node s
where not exists (select from grid.node o where (o.code, o.substation) = (s.code, s.substation))
on conflict (code) do update set substation = excluded.substation

-- name: segments
insert into grid.segment as g (code, length_m, resistance_ohm, reactance_ohm)
select s.code, s.length_m, s.resistance_ohm, s.reactance_ohm
from pg_temp.stage_segment s
where not exists (
  select from grid.segment o
  where (o.code, o.length_m, o.resistance_ohm, o.reactance_ohm)
    = (s.code, s.length_m, s.resistance_ohm, s.reactance_ohm)
)
on conflict (code) do update set
  length_m = excluded.length_m, resistance_ohm = excluded.resistance_ohm, reactance_ohm = excluded.reactance_ohm

-- name: switches
insert into grid.switch as g (code, kind, normal)
select s.code, s.kind, s.normal
from pg_temp.stage_switch s
where not exists (select from grid.switch o where (o.code, o.kind, o.normal) = (s.code, s.kind, s.normal))
on conflict (code) do update set kind = excluded.kind, normal = excluded.normal

-- name: wanted
create temporary table wanted_connection on commit drop as
select
  g.segment_id::bigint * 3 as element, g.segment_id, null::integer as switch_id, null::integer as unit_id,
  f.node_id as from_node_id, t.node_id as to_node_id, null::integer as breaker_id
from pg_temp.stage_segment s
join grid.segment g using (code)
join grid.node f on f.code = s.from_node
join grid.node t on t.code = s.to_node
union all
select g.switch_id::bigint * 3 + 1, null, g.switch_id, null, f.node_id, t.node_id, null
from pg_temp.stage_switch s
join grid.switch g using (code)
join grid.node f on f.code = s.from_node
join grid.node t on t.code = s.to_node
union all
select u.unit_id::bigint * 3 + 2, null, null, u.unit_id, n.node_id, null, b.switch_id
from pg_temp.stage_tap s
join grid.unit u on u.code = s.unit
join grid.node n on n.code = s.node
left join grid.switch b on b.code = s.breaker;
create index on pg_temp.wanted_connection (element);
analyze pg_temp.wanted_connection

-- name: believed
-- What is believed of the time from the given instant on: of all that is connected in the substations that the network
-- describes, and of its equipment where that is connected elsewhere.
create temporary table believed_connection on commit drop as
select c.*
from grid.connection c
where upper_inf(c.recorded)
  and c.valid && tstzrange(%(valid_from)s, null)
  and (
    c.from_node_id in (
      select n.node_id
      from grid.node n
      where n.substation in (select substation from pg_temp.stage_node)
    )
    or c.element in (select element from pg_temp.wanted_connection)
  );
create index on pg_temp.believed_connection (element);
analyze pg_temp.believed_connection

-- name: differing
create temporary table differing_connection on commit drop as
select b.element
from pg_temp.believed_connection b
left join pg_temp.wanted_connection w using (element)
group by b.element
having not coalesce(
  bool_and(
    (b.from_node_id, b.to_node_id, b.breaker_id) is not distinct from (w.from_node_id, w.to_node_id, w.breaker_id)
    and w.element is not null
  )
    and range_agg(b.valid) @> tstzrange(%(valid_from)s, null),
  false
)
union all
select element
from pg_temp.wanted_connection w
where not exists (select from pg_temp.believed_connection b where b.element = w.element)

-- name: close
update grid.connection c
set recorded = tstzrange(lower(c.recorded), %(instant)s)
from pg_temp.differing_connection d
where c.element = d.element
  and upper_inf(c.recorded)
  and c.valid && tstzrange(%(valid_from)s, null)

-- name: keep_before
insert into grid.connection (
  segment_id, switch_id, unit_id, from_node_id, to_node_id, breaker_id, valid, recorded
)
select
  b.segment_id, b.switch_id, b.unit_id, b.from_node_id, b.to_node_id, b.breaker_id,
  b.valid * tstzrange(null, %(valid_from)s),
  tstzrange(%(instant)s, null)
from pg_temp.believed_connection b
join pg_temp.differing_connection using (element)
where not isempty(b.valid * tstzrange(null, %(valid_from)s))

-- name: write
insert into grid.connection (
  segment_id, switch_id, unit_id, from_node_id, to_node_id, breaker_id, valid, recorded
)
select
  w.segment_id, w.switch_id, w.unit_id, w.from_node_id, w.to_node_id, w.breaker_id,
  tstzrange(%(valid_from)s, null),
  tstzrange(%(instant)s, null)
from pg_temp.wanted_connection w
join pg_temp.differing_connection using (element)

-- name: any_reported
select exists (
  select from grid.switch_position where upper_inf(recorded) and valid && tstzrange(%(valid_from)s, null)
)
