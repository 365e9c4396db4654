-- name: claim_alerts
-- The lease is the due time itself: a sender that dies leaves its rows to be claimed again when it is over, and no
-- transaction stays open while a receiver is slow. Notices of one alert go out in order, and none to a target that
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
      where e.alert_id = o.alert_id
        and e.target = o.target
        and e.delivered_at is null
        and (e.created_at, e.delivery_id) < (o.created_at, o.delivery_id)
    )
  order by o.due_at
  limit %(limit)s
  for update skip locked
)
returning d.delivery_id, d.target, d.payload, d.attempts

-- name: claim_sync
-- As above; changes of one entity go out in order.
update sync.delivery d
set due_at = %(now)s + %(lease_s)s * interval '1 second', attempts = attempts + 1
where delivery_id in (
  select delivery_id
  from sync.delivery o
  join grid.outbox c on c.id = o.outbox_id
  where o.delivered_at is null
    and o.due_at <= %(now)s
    and o.target = any(%(targets)s)
    and not exists (
      select from sync.delivery g where g.target = o.target and g.delivered_at is null and g.due_at = 'infinity'
    )
    and not exists (
      select
      from sync.delivery e
      join grid.outbox b on b.id = e.outbox_id
      where e.target = o.target
        and e.delivered_at is null
        and (b.aggregatetype, b.aggregateid) = (c.aggregatetype, c.aggregateid)
        and b.id < c.id
    )
  order by o.due_at, o.outbox_id
  limit %(limit)s
  for update of o skip locked
)
returning d.delivery_id, d.target, d.payload, d.attempts

-- name: delivered
update {table} set delivered_at = %(now)s, last_error = null where delivery_id = %(id)s

-- name: failed
update {table}
set due_at = %(now)s + %(delay_s)s * interval '1 second', last_error = %(error)s
where delivery_id = %(id)s and delivered_at is null

-- name: gone
update {table} set due_at = 'infinity', last_error = %(error)s where delivery_id = %(id)s and delivered_at is null

-- name: not_sent
update {table}
set due_at = %(now)s, attempts = attempts - 1
where delivery_id = %(id)s and delivered_at is null

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

-- name: owe_change
insert into sync.delivery (delivery_id, outbox_id, target, payload)
values (%(id)s, %(outbox_id)s, %(target)s, %(payload)s)
on conflict do nothing

-- name: owe_alert
insert into alerts.delivery (delivery_id, alert_id, target, payload)
values (%(id)s, %(alert_id)s, %(target)s, %(payload)s)
on conflict do nothing
