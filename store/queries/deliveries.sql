-- name: claim_alerts
-- The lease is the due time itself: a sender that dies leaves its rows to be claimed again when it is over, and no
-- transaction stays open while a receiver is slow. Notices of one group go out in order, and none to a target that
-- has said it is gone.
update alerts.delivery d
set due_at = %(now)s + %(lease_s)s * interval '1 second', attempts = attempts + 1
where delivery_id in (
  select delivery_id
  from alerts.delivery o
  where o.delivered_at is null
    and o.due_at <= %(now)s
    and o.target = any(%(targets)s)
    and not exists (
      select from alerts.delivery g where g.target = o.target and g.delivered_at is null and g.due_at = 'infinity'
    )
    and not exists (
      select
      from alerts.delivery e
      where e.group_key = o.group_key
        and e.target = o.target
        and e.delivered_at is null
        and (e.created_at, e.delivery_id) < (o.created_at, o.delivery_id)
    )
  order by o.due_at
  limit %(limit)s
  for update skip locked
)
returning
  d.delivery_id,
  d.target,
  case when d.payload -> 'data' ? 'count'
    then jsonb_set(d.payload, '{data,count}', to_jsonb(d.told))
    else d.payload
  end,
  d.attempts

-- name: claim_sync
-- As above; what concerns one entity goes out in order. A target that was away for hours is owed hundreds of thousands:
-- they are walked through by their due times, and each is asked for an earlier one of its entity only as it comes
-- (`offset 0`, which keeps that question from being put for all of them at once).
update sync.delivery d
set due_at = %(now)s + %(lease_s)s * interval '1 second', attempts = attempts + 1
where delivery_id in (
  select n.delivery_id
  from unnest(%(targets)s::text[]) t(target)
  cross join lateral (
    select o.delivery_id, o.due_at, o.sequence
    from sync.delivery o
    where o.target = t.target
      and o.delivered_at is null
      and o.due_at <= %(now)s
      and not exists (
        select
        from sync.delivery e
        where e.target = o.target and e.delivered_at is null and e.entity = o.entity and e.sequence < o.sequence
        offset 0
      )
    order by o.due_at, o.sequence
    limit %(limit)s
    for update skip locked
  ) n
  where not exists (
    select from sync.delivery g where g.target = t.target and g.delivered_at is null and g.due_at = 'infinity'
  )
  order by n.due_at, n.sequence
  limit %(limit)s
)
returning d.delivery_id, d.target, d.payload, d.attempts

-- name: delivered
update {table} d
set delivered_at = n.at, last_error = null
from unnest(%(ids)s::uuid[], %(ats)s::timestamptz[], %(delays_s)s::float8[], %(errors)s::text[])
  n(delivery_id, at, delay_s, error)
where d.delivery_id = n.delivery_id

-- name: failed
update {table} d
set due_at = n.at + n.delay_s * interval '1 second', last_error = n.error
from unnest(%(ids)s::uuid[], %(ats)s::timestamptz[], %(delays_s)s::float8[], %(errors)s::text[])
  n(delivery_id, at, delay_s, error)
where d.delivery_id = n.delivery_id and d.delivered_at is null

-- name: gone
update {table} d
set due_at = 'infinity', last_error = n.error
from unnest(%(ids)s::uuid[], %(ats)s::timestamptz[], %(delays_s)s::float8[], %(errors)s::text[])
  n(delivery_id, at, delay_s, error)
where d.delivery_id = n.delivery_id and d.delivered_at is null

-- name: not_sent
update {table} d
set due_at = n.at, attempts = d.attempts - 1
from unnest(%(ids)s::uuid[], %(ats)s::timestamptz[], %(delays_s)s::float8[], %(errors)s::text[])
  n(delivery_id, at, delay_s, error)
where d.delivery_id = n.delivery_id and d.delivered_at is null

-- name: resume
update {table}
set due_at = %(now)s
where target = %(target)s and delivered_at is null and due_at = 'infinity'

-- name: backlog
select
  target,
  count(*) filter (where delivered_at is null),
  count(*) filter (where delivered_at is not null),
  min(created_at) filter (where delivered_at is null),
  coalesce(bool_or(delivered_at is null and due_at = 'infinity'), false)
from {table}
group by target
order by target

-- name: waiting
-- What is still owed to each target; of what was delivered, of which there are months, no more is read than the names.
with recursive named (target) as (
  (select target from sync.delivery order by target limit 1)
  union all
  select (select d.target from sync.delivery d where d.target > n.target order by d.target limit 1)
  from named n
  where n.target is not null
)
select n.target, w.deliveries, w.oldest
from named n
cross join lateral (
  select count(*) as deliveries, min(d.created_at) as oldest
  from sync.delivery d
  where d.target = n.target and d.delivered_at is null
) w
where n.target is not null
order by n.target

-- name: owe_item
insert into sync.delivery (delivery_id, target, entity, sequence, payload, to_read)
values (%(id)s, %(target)s, %(entity)s, %(sequence)s, %(payload)s, %(to_read)s)
on conflict do nothing

-- name: owe_changes
-- A change to all of its targets.
insert into sync.delivery (delivery_id, outbox_id, target, entity, sequence, payload, to_read)
select t.id, %(outbox_id)s, t.target, %(entity)s, %(outbox_id)s, %(payload)s, t.to_read
from unnest(%(ids)s::uuid[], %(targets)s::text[], %(to_read)s::boolean[]) t(id, target, to_read)
on conflict do nothing

-- name: newest_notices
-- Locked in one order, so that two writers of one group take turns.
select n.target, n.group_key, n.delivery_id, n.due_at, n.not_before
from alerts.notice n
join unnest(%(targets)s::text[], %(group_keys)s::text[]) as w (target, group_key) using (target, group_key)
order by n.target, n.group_key
for update of n

-- name: unsent_notices
-- The payload of those with room for more.
select d.delivery_id, d.due_at, d.told, case when d.told < w.room then d.payload end
from alerts.delivery d
join unnest(%(ids)s::uuid[], %(rooms)s::integer[]) as w (delivery_id, room) using (delivery_id)
where d.attempts = 0 and d.delivered_at is null
order by d.delivery_id
for update of d

-- name: add_to_notices
with added as (
  select delivery_id, due_at, told, payload
  from json_to_recordset(%(rows)s::json) as r (delivery_id uuid, due_at timestamptz, told integer, payload jsonb)
), moved as (
  update alerts.delivery d
  set told = d.told + a.told, due_at = a.due_at, payload = coalesce(a.payload, d.payload)
  from added a
  where d.delivery_id = a.delivery_id
)
update alerts.notice n set due_at = a.due_at from added a where n.delivery_id = a.delivery_id

-- name: owe_notices
with owed as (
  select *
  from json_to_recordset(%(rows)s::json) as r (
    delivery_id uuid, alert_id bigint, target text, group_key text, due_at timestamptz, not_before timestamptz,
    told integer, payload jsonb
  )
), noted as (
  insert into alerts.notice (target, group_key, delivery_id, due_at, not_before)
  select target, group_key, delivery_id, due_at, not_before from owed order by target, group_key
  on conflict (target, group_key) do update
  set delivery_id = excluded.delivery_id, due_at = excluded.due_at, not_before = excluded.not_before
)
insert into alerts.delivery (delivery_id, alert_id, target, group_key, payload, due_at, told)
select delivery_id, alert_id, target, group_key, payload, due_at, told from owed

-- name: replay
update alerts.delivery
set delivered_at = null, due_at = %(now)s
where target = %(target)s and delivered_at >= %(since)s
