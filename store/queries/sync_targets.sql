-- name: to_read
-- Deliveries that have arrived, of entities to which nothing newer is owed: what is on its way isn't a disagreement.
select d.delivery_id, d.payload
from sync.delivery d
where d.target = %(target)s
  and d.to_read
  and d.delivered_at is not null
order by d.delivered_at
limit %(limit)s

-- name: pending
-- How much is on its way to a target (owed, arrived but not read back, or not relayed yet), and of that what names some
-- codes. A unit that was loaded stands for all that was loaded with it. Found as text: to read thousands of notices in
-- order to compare one entity takes longer than to deliver them.
select
  count(*),
  coalesce(
    array_agg(w.payload) filter (
      where w.payload -> 'data' ->> 'type' = 'unit.loaded'
        or exists (select from unnest(%(codes)s::text[]) c(code) where position(to_json(c.code)::text in t.said) > 0)
    ),
    '{}'
  )
from (
  (
    select d.payload
    from sync.delivery d
    where d.target = %(target)s and d.delivered_at is null
    limit %(limit)s
  )
  union all
  (
    select d.payload
    from sync.delivery d
    where d.target = %(target)s and d.to_read and d.delivered_at is not null and d.delivery_id <> all(%(but)s)
    limit %(limit)s
  )
  union all
  (
    select jsonb_build_object('data', jsonb_build_object(
      'aggregatetype', o.aggregatetype, 'aggregateid', o.aggregateid, 'type', o.type, 'payload', o.payload
    ))
    from grid.outbox o
    where o.aggregatetype <> 'resettle'
      and (o.transaction_id, o.id) > (
        coalesce((select r.transaction_id from sync.relay r where r.topic = %(topic)s), '0'::xid8),
        coalesce((select r.outbox_id from sync.relay r where r.topic = %(topic)s), 0)
      )
    limit %(limit)s
  )
) w
cross join lateral (select w.payload::text as said offset 0) t

-- name: was_read
update sync.delivery set to_read = false, read_at = clock_timestamp() where delivery_id = any(%(ids)s)

-- name: owed
select count(*) from sync.delivery where target = %(target)s and (delivered_at is null or to_read)

-- name: unread
select count(*) from sync.delivery where target = %(target)s and delivered_at is not null and to_read

-- name: end_drift
insert into sync.drift (target, kind, code, since, until)
select s.target, s.kind, s.code, s.since, %(at)s
from sync.target_state s
join unnest(%(codes)s::text[], %(expected)s::bytea[], %(seen)s::bytea[]) n(code, expected, seen) using (code)
where s.target = %(target)s
  and s.kind = %(kind)s
  and s.since is not null
  and n.expected is not distinct from n.seen
on conflict do nothing

-- name: write_states
-- The clock of a disagreement runs from when it was seen first.
insert into sync.target_state as s (target, kind, code, expected, seen, checked_at, since)
select
  %(target)s, %(kind)s, n.code, n.expected, n.seen, %(at)s,
  case when n.expected is distinct from n.seen then %(at)s::timestamptz end
from unnest(%(codes)s::text[], %(expected)s::bytea[], %(seen)s::bytea[]) n(code, expected, seen)
on conflict (target, kind, code) do update set
  expected = excluded.expected, seen = excluded.seen, checked_at = excluded.checked_at,
  since = case when excluded.since is not null then coalesce(s.since, excluded.since) end

-- name: forget_states
-- Of what neither the model nor the target has.
delete from sync.target_state
where target = %(target)s and kind = %(kind)s and code = any(%(codes)s) and expected is null and seen is null

-- name: drifted
select s.target, s.kind, s.code, s.since, s.checked_at, s.expected is null as extra, s.seen is null as missing
from sync.target_state s
where s.since is not null
  and (%(target)s::text is null or s.target = %(target)s)
  and (s.target, s.kind, s.code) > (%(after_target)s, %(after_kind)s, %(after_code)s)
order by s.target, s.kind, s.code
limit %(limit)s

-- name: drift_counts
select
  z.target, sum(z.entities)::bigint as entities, coalesce(max(d.drifted), 0) as drifted, min(d.since) as since,
  max(z.checked_at) as checked_at
from sync.target_size z
left join (
  select s.target, count(*) as drifted, min(s.since) as since
  from sync.target_state s
  where s.since is not null
  group by s.target
) d using (target)
group by z.target
order by z.target

-- name: drift_minutes
select target, kind, count(*) as drifts, sum(minutes)::float8 as minutes
from sync.drift_spans(%(from)s, %(to)s)
group by target, kind
order by target, kind

-- name: known
-- What a target was once seen with, and that wasn't compared since.
select code from sync.target_state
where target = %(target)s
  and kind = %(kind)s
  and seen is not null
  and checked_at < %(before)s
  and code > %(after)s
order by code
limit %(limit)s
