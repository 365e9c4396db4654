-- name: unknown_units
select code from unnest(%(units)s::text[]) as n (code)
where not exists (select from grid.unit u where u.code = n.code)
limit 1

-- name: hold
-- What says the same as before isn't written.
with written as (
  insert into alerts.finding as f (
    fingerprint, kind, severity, unit_id, meter, begin_at, seen_at, figures, evidence, due_at
  )
  select n.fingerprint, n.kind, n.severity, u.unit_id, n.meter, n.begin_at, n.seen_at, n.figures, n.evidence, '-infinity'
  from json_to_recordset(%(rows)s::json) as n (
    fingerprint text, kind text, severity text, unit text, meter text, begin_at timestamptz, seen_at timestamptz,
    figures jsonb, evidence jsonb
  )
  join grid.unit u on u.code = n.unit
  order by n.fingerprint
  on conflict (fingerprint) where ended_at is null do update
  set
    severity = excluded.severity,
    seen_at = excluded.seen_at,
    figures = excluded.figures,
    evidence = excluded.evidence,
    due_at = '-infinity'
  where f.seen_at <= excluded.seen_at
    and (f.severity, f.figures, f.evidence) is distinct from (excluded.severity, excluded.figures, excluded.evidence)
  returning xmax = 0 as is_new
)
select is_new, count(*) from written group by is_new

-- name: end
update alerts.finding f
set ended_at = greatest(n.seen_at, f.begin_at), seen_at = n.seen_at, figures = n.figures, due_at = '-infinity',
  held_by = null
from json_to_recordset(%(rows)s::json) as n (fingerprint text, seen_at timestamptz, figures jsonb)
where f.fingerprint = n.fingerprint and f.ended_at is null and f.seen_at <= n.seen_at

-- name: holding
select fingerprint, severity from alerts.finding where ended_at is null and kind = any(%(kinds)s)

-- name: evidence
select evidence from alerts.finding where finding_id = %(finding_id)s

-- name: due
-- What is critical doesn't wait for a storm of others. The alert that a finding has stands before a live one of the same
-- condition. An area without supply is a member of no feeder: its last one counts, and what was above it within a day.
with recursive due as materialized (
  select *
  from alerts.finding
  where due_at <= %(now)s
  order by severity <> 'critical', due_at, finding_id
  limit %(limit)s
  for update skip locked
), above (unit_id, above_id) as (
  select distinct unit_id, unit_id from due
  union
  -- Bounds are compared one by one: an index of periods holds everything that is there now.
  select a.unit_id, m.unit_id
  from above a
  join grid.member m on m.child_id = a.above_id
  where upper_inf(m.recorded)
    and coalesce(lower(m.valid) <= %(now)s, true)
    and coalesce(upper(m.valid) > %(now)s::timestamptz - interval '1 day', true)
), worked_on as materialized (
  select a.unit_id, w.kinds
  from alerts.maintenance w join above a on a.above_id = w.unit_id
  where w.during @> %(now)s::timestamptz
), out as materialized (
  select u.unit_id
  from alerts.finding o
  cross join lateral jsonb_array_elements_text(o.evidence -> 'areas') as e (area)
  join grid.unit u on u.code = e.area
  where o.kind = 'outage' and o.ended_at is null
  union
  select o.unit_id from alerts.finding o where o.kind = 'outage' and o.ended_at is null
)
select
  d.finding_id, d.fingerprint, d.kind, d.severity, d.unit_id, u.code, u.kind, u.name,
  coalesce(f.feeder, u.code), d.meter, d.begin_at, d.seen_at, d.ended_at, d.figures,
  d.alert_id is not null, coalesce(own.alert_id, live.alert_id), coalesce(own.state, live.state),
  coalesce(own.told_severity, own.severity, live.told_severity, live.severity),
  coalesce(own.told_meters, live.told_meters),
  d.ended_at is not null and (
    exists (select from alerts.finding n where n.fingerprint = d.fingerprint and n.ended_at is null)
    -- It came back and ended again: that one says when it is over.
    or exists (
      select from alerts.finding n
      where n.fingerprint = d.fingerprint and n.due_at is not null and n.finding_id > d.finding_id
    )
  ),
  exists (
    select from worked_on w where w.unit_id = d.unit_id and (w.kinds is null or d.kind = any(w.kinds))
  ),
  out.unit_id is not null
from due d
join grid.unit u using (unit_id)
left join lateral (
  select p.code as feeder
  from grid.member m
  join grid.unit p on p.unit_id = m.unit_id and p.kind = 'feeder'
  where m.child_id = d.unit_id and upper_inf(m.recorded) and not coalesce(lower(m.valid) > %(now)s, false)
  order by upper(m.valid) desc nulls first
  limit 1
) f on true
left join out on out.unit_id = d.unit_id
left join alerts.alert own on own.alert_id = d.alert_id
left join alerts.alert live
  on d.alert_id is null and live.fingerprint = d.fingerprint and live.state not in ('resolved', 'closed')
order by d.severity <> 'critical', d.due_at, d.finding_id

-- name: without_data
select n.unit_id
from unnest(%(unit_ids)s::int[]) as n (unit_id)
left join loss.balance b
  on b.unit_id = n.unit_id
  and b.observed_at > %(since)s
  and b.observed_at <= %(until)s
  and b.interval_s <= 3600
group by n.unit_id
-- NaN is greater than all: no member is expected there, and nothing is missing.
having coalesce(avg(b.coverage), 0) < %(min_coverage)s

-- name: looked_at
update alerts.finding f
set due_at = n.due_at, held_by = n.held_by, alert_id = coalesce(n.alert_id, f.alert_id)
from json_to_recordset(%(rows)s::json) as n (finding_id bigint, due_at timestamptz, held_by text, alert_id bigint)
where f.finding_id = n.finding_id

-- name: set_result
update alerts.finding set result = %(result)s::text where alert_id = %(alert_id)s

-- name: list
select
  f.finding_id, f.fingerprint, f.kind, f.severity, u.code, f.meter, f.begin_at, f.seen_at, f.ended_at, f.figures,
  f.held_by, f.alert_id, f.result
from alerts.finding f
join grid.unit u using (unit_id)
where (%(kind)s::text is null or f.kind = %(kind)s)
  and (%(kinds)s::text[] is null or f.kind = any(%(kinds)s))
  and (%(unit)s::text is null or f.unit_id = (select unit_id from grid.unit where code = %(unit)s))
  and (%(meter)s::text is null or f.meter = %(meter)s)
  and (%(alert_id)s::bigint is null or f.alert_id = %(alert_id)s)
  and (%(holds)s::boolean is null or (f.ended_at is null) = %(holds)s)
  and (%(after)s = 0 or f.finding_id < %(after)s)
order by f.finding_id desc
limit %(limit)s

-- name: one
select
  f.finding_id, f.fingerprint, f.kind, f.severity, u.code, f.meter, f.begin_at, f.seen_at, f.ended_at, f.figures,
  f.held_by, f.alert_id, f.result
from alerts.finding f
join grid.unit u using (unit_id)
where f.finding_id = %(finding_id)s

-- name: series
select * from alerts.series_for(%(reader)s, %(finding_id)s, %(meter)s, %(from_at)s, %(to_at)s)
