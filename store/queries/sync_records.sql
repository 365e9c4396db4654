-- name: stage
create temporary table stage_record (
  dataset text, key text, line integer, removed boolean, body jsonb, hash bytea, valid_from timestamptz
) on commit drop

-- name: copy
copy pg_temp.stage_record (dataset, key, line, removed, body, hash, valid_from) from stdin

-- name: repeated
-- Of each key that a source has more than once, all but the last line.
select dataset, key, line
from (
  select dataset, key, line, row_number() over (partition by dataset, key order by line desc) as place
  from pg_temp.stage_record
) s
where place > 1
order by line

-- name: drop_repeated
delete from pg_temp.stage_record s
using (
  select ctid as row, row_number() over (partition by dataset, key order by line desc) as place
  from pg_temp.stage_record
) d
where s.ctid = d.row and d.place > 1

-- name: take
insert into sync.take (system, origin, origin_hash, mode, taken_at)
values (%(system)s, %(origin)s, %(hash)s, %(mode)s, %(at)s)
returning take_id

-- name: end_changed
-- What says something else now, or says itself that it has gone.
update sync.record r
set recorded = tstzrange(lower(r.recorded), greatest(%(at)s, lower(r.recorded) + interval '1 microsecond'))
from pg_temp.stage_record s
where r.system = %(system)s
  and r.dataset = s.dataset
  and r.key = s.key
  and upper_inf(r.recorded)
  and (s.removed or r.hash <> s.hash)

-- name: end_absent
-- What a whole extract of its dataset doesn't have any more.
update sync.record r
set recorded = tstzrange(lower(r.recorded), greatest(%(at)s, lower(r.recorded) + interval '1 microsecond'))
where r.system = %(system)s
  and r.dataset = any(%(datasets)s)
  and upper_inf(r.recorded)
  and not exists (select from pg_temp.stage_record s where s.dataset = r.dataset and s.key = r.key)

-- name: add
insert into sync.record (system, dataset, key, body, hash, valid, recorded, take_id)
select %(system)s, s.dataset, s.key, s.body, s.hash,
  tstzrange(coalesce(s.valid_from, %(at)s), null),
  tstzrange(greatest(%(at)s, (
    select max(upper(o.recorded)) from sync.record o
    where o.system = %(system)s and o.dataset = s.dataset and o.key = s.key and not upper_inf(o.recorded)
  )), null),
  %(take_id)s
from pg_temp.stage_record s
where not s.removed
  and not exists (
    select from sync.record r
    where r.system = %(system)s and r.dataset = s.dataset and r.key = s.key and upper_inf(r.recorded)
  )
order by s.line

-- name: finish
update sync.take
set records = %(records)s, added = %(added)s, changed = %(changed)s, removed = %(removed)s, refused = %(refused)s
where take_id = %(take_id)s

-- name: refused
insert into sync.refused (take_id, line, column_number, reason, original)
values (%(take_id)s, %(line)s, %(column)s, %(reason)s, %(original)s)
on conflict do nothing

-- name: sources
select
  r.system, r.dataset, count(*)::integer as records,
  count(c.key) filter (where c.state <> 'unsure')::integer as identified,
  max(lower(r.recorded)) as changed_at
from sync.record r
left join sync.crosswalk c
  on c.system = r.system and c.dataset = r.dataset and c.key = r.key and upper_inf(c.recorded)
where upper_inf(r.recorded)
group by r.system, r.dataset
order by r.system, r.dataset

-- name: listed_refused
select t.system, t.origin, t.taken_at, r.line, r.column_number, r.reason, r.original
from sync.refused r join sync.take t using (take_id)
where t.take_id = %(take_id)s
order by r.line

-- name: current
select dataset, key, body::text
from sync.record
where system = %(system)s and upper_inf(recorded)
order by dataset, key

-- name: former
select dataset, key, body::text
from sync.record
where system = %(system)s and not upper_inf(recorded) and upper(recorded) > now() - interval '3 years'
order by dataset, key, upper(recorded)

-- name: systems
select distinct system from sync.record where upper_inf(recorded) order by 1

-- name: last_change
-- The greatest value of a change column that was taken of a dataset.
-- What is present and what was before have an index each.
select max(value)
from (
  select body ->> %(column)s as value
  from sync.record
  where system = %(system)s and dataset = %(dataset)s and upper_inf(recorded)
  union all
  select body ->> %(column)s
  from sync.record
  where system = %(system)s and dataset = %(dataset)s and not upper_inf(recorded)
) v
