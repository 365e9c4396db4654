-- name: lock
-- One process at a time; held for the transaction.
select pg_try_advisory_xact_lock(hashtextextended('validation', 0))

-- name: due
-- Areas and dedicated customers with readings of a day that the rules haven't looked at.
select u.unit_id
from grid.unit u
where u.kind in ('area', 'dedicated')
  and (%(units)s::text[] is null or u.code = any (%(units)s))
  and (%(again)s or not exists (
    select from telemetry.validated_day v where v.unit_id = u.unit_id and v.day = %(day)s
  ))
  and u.unit_id > %(after)s
  and exists (
    select from telemetry.block b
    where b.unit_id = u.unit_id and b.observed_at > %(begin)s and b.observed_at <= %(end)s and b.interval_s <= 3600
  )
order by u.unit_id
limit %(limit)s

-- name: keys
-- Rows of some units in a stretch of time.
select b.unit_id, b.observed_at, b.interval_s
from telemetry.block b
where b.unit_id = any (%(unit_ids)s)
  and b.observed_at > %(begin)s
  and b.observed_at <= %(end)s
  and b.interval_s <= 3600
order by 1, 3, 2

-- name: sums
select v.unit_id, v.day, v.sums_wh
from telemetry.validated_day v
where v.unit_id = any (%(unit_ids)s) and v.day >= %(first)s and v.day < %(day)s

-- name: forget
delete from telemetry.doubt where unit_id = any (%(unit_ids)s) and day = %(day)s

-- name: doubts
-- In one statement: a unit's day is counted anew with each (`telemetry.doubt_count`).
insert into telemetry.doubt (unit_id, day, position, rule, begins_at, ends_at, value_wh, limit_wh, as_of)
select d.unit_id, %(day)s, d.position, d.rule, d.begins_at, d.ends_at, d.value_wh, d.limit_wh, %(as_of)s
from unnest(
  %(unit_ids)s::integer[], %(positions)s::integer[], %(rules)s::text[], %(begins_at)s::timestamptz[],
  %(ends_at)s::timestamptz[], %(values_wh)s::bigint[], %(limits_wh)s::bigint[]
) d (unit_id, position, rule, begins_at, ends_at, value_wh, limit_wh)

-- name: validated
insert into telemetry.validated_day (unit_id, day, as_of, sums_wh)
values (%s, %s, %s, %s)
on conflict (unit_id, day) do update set as_of = excluded.as_of, sums_wh = excluded.sums_wh

-- name: between
-- Doubts of some rules that reach into a stretch of time.
select d.unit_id, d.position, d.begins_at, d.ends_at, d.as_of
from telemetry.doubt d
where d.unit_id = any (%(unit_ids)s)
  and d.day >= %(first)s::timestamptz::date - 2
  and d.ends_at >= %(first)s
  and d.begins_at < %(last)s
  and d.rule = any (%(rules)s)

-- name: list
select u.code, m.meter, d.position, d.day, d.rule, d.begins_at, d.ends_at, d.value_wh, d.limit_wh, d.as_of
from telemetry.doubt d
join grid.unit u using (unit_id)
left join grid.member m
  on m.unit_id = d.unit_id and m.position = d.position and m.valid @> d.ends_at and upper_inf(m.recorded)
where d.ends_at >= %(since)s
  and (%(unit)s::text is null or u.code = %(unit)s)
  and (%(rule)s::text is null or d.rule = %(rule)s)
order by d.ends_at desc, u.code, d.position, d.rule
limit %(limit)s
