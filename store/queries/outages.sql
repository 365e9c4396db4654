-- name: changed
-- Writers of the model take turns, so numbers rise in the order of commits. A change that concerns no switch has no
-- substation.
select o.id, n.substation, (o.payload ->> 'valid_from')::timestamptz
from (select id, type, aggregateid, payload from grid.outbox where id > %(after)s order by id limit %(limit)s) o
left join grid.switch s on o.type = 'switch.position' and s.code = o.aggregateid
left join grid.connection c on c.switch_id = s.switch_id and upper_inf(c.recorded)
left join grid.node n on n.node_id = c.from_node_id or n.node_id = c.to_node_id

-- name: disturbed
select (select coalesce(max(id), 0) from grid.outbox), d.substation, d.at
from (select 1) one
left join (
  select substation, max(at) as at
  from (
    select n.substation, lower(p.valid) as at
    from grid.switch_position p
    join grid.switch s using (switch_id)
    join grid.connection c on c.switch_id = s.switch_id and upper_inf(c.recorded)
    join grid.node n on n.node_id = c.from_node_id or n.node_id = c.to_node_id
    where upper_inf(p.recorded) and p.valid && tstzrange(%(now)s, null) and p.position <> s.normal
    union all
    select u.substation, %(now)s
    from alerts.finding f
    join grid.unit u using (unit_id)
    where f.kind = 'outage' and f.ended_at is null
  ) each
  where substation is not null
  group by substation
) d on true

-- name: last_supply
select
  a.code,
  m.feeder,
  m.until,
  (
    select count(*)
    from grid.member c
    where c.unit_id = a.unit_id and c.role & 2 = 2 and upper_inf(c.recorded) and c.valid @> %(now)s::timestamptz
  )
from grid.unit a
cross join lateral (
  select f.code as feeder, upper(m.valid) as until
  from grid.member m
  join grid.unit f on f.unit_id = m.unit_id and f.kind = 'feeder'
  where m.child_id = a.unit_id and upper_inf(m.recorded) and not coalesce(lower(m.valid) > %(now)s, false)
  order by upper(m.valid) desc nulls first
  limit 1
) m
where a.code = any(%(areas)s)
order by a.code

-- name: held
select
  u.code, f.begin_at, coalesce(f.evidence ->> 'source', ''),
  array(select jsonb_array_elements_text(f.evidence -> 'areas')), f.figures, f.seen_at
from alerts.finding f
join grid.unit u using (unit_id)
where f.kind = 'outage' and f.ended_at is null
order by u.code

-- name: gasps
-- What was said before a switch brought the supply back is over.
with heard as (
  select distinct unit_id
  from telemetry.event
  where observed_at > %(since)s and observed_at <= %(now)s and kind = 'last_gasp'
), supply as materialized (
  select h.unit_id, m.feeder, m.feeder_id, m.supplied_from
  from heard h
  cross join lateral (
    select f.code as feeder, f.unit_id as feeder_id, lower(m.valid) as supplied_from
    from grid.member m
    join grid.unit f on f.unit_id = m.unit_id and f.kind = 'feeder'
    where m.child_id = h.unit_id and upper_inf(m.recorded) and not coalesce(lower(m.valid) > %(now)s, false)
    order by upper(m.valid) desc nulls first
    limit 1
  ) m
), gasped as (
  select e.unit_id, e.meter, min(e.observed_at) as first_at, max(e.observed_at) as last_at
  from supply s
  join telemetry.event e using (unit_id)
  where e.observed_at > %(since)s
    and e.observed_at <= %(now)s
    and coalesce(e.observed_at > s.supplied_from + %(settling_s)s * interval '1 second', true)
    and e.kind = 'last_gasp'
  group by e.unit_id, e.meter
), silent as (
  select g.unit_id, min(g.first_at) as first_at, count(*) as gasping
  from gasped g
  where not exists (
    select from telemetry.event r
    where r.unit_id = g.unit_id and r.meter = g.meter and r.kind = 'power_restored' and r.observed_at > g.last_at
  )
  group by g.unit_id
)
select
  u.code, m.feeder, s.first_at, s.gasping,
  (
    select count(*)
    from grid.member c
    where c.unit_id = s.unit_id and c.role & 2 = 2 and upper_inf(c.recorded) and c.valid @> %(now)s::timestamptz
  ),
  (
    select count(distinct c.child_id)
    from grid.member c
    where c.unit_id = m.feeder_id and c.child_id is not null and upper_inf(c.recorded)
      and c.valid @> %(since)s::timestamptz
  )
from silent s
join supply m using (unit_id)
join grid.unit u using (unit_id)
order by u.code

-- name: late_gasps
select observed_at
from telemetry.event
where kind = 'last_gasp'
  and recorded_at > now() - %(within_s)s * interval '1 second'
  and observed_at > %(since)s
  and observed_at <= %(until)s
order by observed_at
limit 100000

-- name: restored
-- Heard of again: at least half of the meters that gasped say so, or an interval that began after it was read whole. Or
-- a switch has brought the supply back.
select
  u.code,
  coalesce(
    (
      select count(*) filter (where exists (
        select from telemetry.event r
        where r.unit_id = g.unit_id and r.meter = g.meter and r.kind = 'power_restored' and r.observed_at > g.last_at
      )) * 2 >= count(*)
      from (
        select e.unit_id, e.meter, max(e.observed_at) as last_at
        from telemetry.event e
        where e.unit_id = u.unit_id and e.observed_at >= %(since)s and e.kind = 'last_gasp'
        group by e.unit_id, e.meter
      ) g
      having count(*) > 0
    ),
    false
  ) or exists (
    select from loss.balance b
    where b.unit_id = u.unit_id and b.observed_at - b.interval_s * interval '1 second' > %(since)s
      and b.interval_s <= 3600 and b.coverage between 0.9 and 1 and b.inflow_wh > 0
  ) or exists (
    select from grid.member m
    join grid.unit f on f.unit_id = m.unit_id and f.kind = 'feeder'
    where m.child_id = u.unit_id and upper_inf(m.recorded) and m.valid @> %(now)s::timestamptz
      and lower(m.valid) + %(settling_s)s * interval '1 second' >= %(since)s
  )
from grid.unit u
where u.code = any(%(areas)s)

-- name: of_meter
select
  m.meter, u.code, o.alert_id, o.begin_at, a.expected_at, a.state, o.figures ->> 'switch'
from grid.member m
join grid.unit u using (unit_id)
left join lateral (
  select f.alert_id, f.begin_at, f.figures
  from alerts.finding f
  where f.kind = 'outage' and f.ended_at is null and (f.unit_id = u.unit_id or f.evidence -> 'areas' ? u.code)
  order by f.begin_at
  limit 1
) o on true
left join alerts.alert a on a.alert_id = o.alert_id
where m.meter = %(meter)s and upper_inf(m.recorded) and m.valid @> %(now)s::timestamptz
order by u.code
