-- name: units
select unit_id, code from grid.unit order by unit_id

-- name: edges
-- Of any time and belief: which unit was ever a member of which.
select distinct child_id, unit_id from grid.member where child_id is not null order by 1, 2

-- name: due
-- Limits of some units that pass in [from, until), the oldest first.
select u.code, (extract(epoch from b.observed_at) * 1000000)::bigint, b.interval_s
from loss.balance b
join grid.unit u using (unit_id)
where b.due_at >= %(from)s and b.due_at < %(until)s and b.unit_id = any(%(unit_ids)s)
order by b.due_at, b.unit_id, b.observed_at, b.interval_s
limit %(limit)s

-- name: horizon
-- When the n-th limit from an instant on passes.
select (extract(epoch from due_at) * 1000000)::bigint
from loss.balance
where due_at >= %(from)s and due_at < %(until)s
order by due_at
offset %(n)s
limit 1

-- name: span
-- A page of the intervals of some units within (from, to]; where registers were read, the one before opens the first.
select b.unit_id, u.code, b.observed_at, (extract(epoch from b.observed_at) * 1000000)::bigint, b.interval_s
from telemetry.block b
join grid.unit u using (unit_id)
where b.observed_at >= %(from)s
  and b.observed_at <= %(to)s
  and (
    b.observed_at - b.interval_s * interval '1 second' >= %(from)s
    or (b.observed_at = %(from)s and num_nonnulls(b.register_import_wh, b.register_export_wh) > 0)
  )
  and (%(units)s::text[] is null or u.code = any(%(units)s))
  and (b.observed_at, b.unit_id, b.interval_s) > (%(after)s, %(after_unit)s, %(after_s)s)
order by b.observed_at, b.unit_id, b.interval_s
limit %(limit)s

-- name: meters
-- Who has each position, by the last belief.
select distinct on (unit_id, position) unit_id, position, meter
from grid.member
where meter is not null and unit_id = any(%(unit_ids)s)
order by unit_id, position, upper(recorded) desc nulls first, lower(recorded) desc

-- name: identity
-- Two connections that answer alike are to one database.
select current_database()::text, pg_postmaster_start_time()
