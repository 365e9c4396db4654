-- name: unsent
select target from unnest(%(targets)s::text[]) as t (target)
where not exists (
  select from rollout.report_sent s
  where s.span = %(span)s and s.level = %(level)s and s.unit = %(unit)s and s.until_at = %(until)s
    and s.target = t.target
)

-- name: owe
-- Two who do it at once: the second waits for the first, and does nothing.
with noted as (
  insert into rollout.report_sent (span, level, unit, until_at, target, at)
  values (%(span)s, %(level)s, %(unit)s, %(until)s, %(target)s, %(now)s)
  on conflict do nothing
  returning target
)
insert into alerts.delivery (delivery_id, target, group_key, payload, due_at)
select %(delivery_id)s, target, %(group_key)s, %(payload)s, %(now)s from noted
returning delivery_id
