-- name: units_of_meters
-- What is believed now is known at any time from its beginning on; `is true` as in `views.members`.
select distinct m.meter, u.code
from grid.member m
join grid.unit u using (unit_id)
where m.meter = any(%(meters)s) and (m.recorded @> %(known_at)s::timestamptz) is true
order by 1, 2

-- name: former_homes
select distinct m.meter, o.unit_id, o.position, o.multiplier
from grid.member m
join grid.member o on o.meter = m.meter and (o.unit_id, o.position) <> (m.unit_id, m.position)
where m.unit_id = %(unit_id)s and upper_inf(m.recorded)
order by 1, 2, 3, 4

-- name: intervals
-- A page of the intervals of some units that reach into a period; the longest interval is a day of 25 hours.
select distinct observed_at, (extract(epoch from observed_at) * 1000000)::bigint, interval_s
from loss.balance
where unit_id = any(%(unit_ids)s)
  and observed_at > %(from)s
  and observed_at < %(to)s + interval '25 hours'
  and observed_at - interval_s * interval '1 second' < %(to)s
  and (observed_at, interval_s) > (%(after)s, %(after_s)s)
order by observed_at, interval_s
limit %(limit)s

-- name: due
-- Limits that have passed, the oldest first.
select u.code, u.kind, (extract(epoch from b.observed_at) * 1000000)::bigint, b.interval_s
from loss.balance b
join grid.unit u using (unit_id)
where b.due_at < %(until)s
order by b.due_at
limit %(limit)s

-- name: become_sweeper
-- For as long as the transaction lasts.
select pg_try_advisory_xact_lock(hashtextextended('meterline.sweep', 0))
