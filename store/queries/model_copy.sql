-- name: tables
-- Tables of the model with the columns that are copied. What goes out from here is no part of the model, and what triggers
-- keep comes by itself.
select
  c.relname::text,
  array_agg(a.attname::text order by a.attnum),
  array_agg(a.attname::text order by a.attnum) filter (where a.attidentity <> '')
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
where c.relnamespace = 'grid'::regnamespace and c.relkind = 'r' and c.relname not in ('outbox', 'unit_size')
group by c.relname
order by c.relname

-- name: references
-- Which table of the model refers to which.
select distinct r.conrelid::regclass::text, r.confrelid::regclass::text
from pg_constraint r
join pg_class c on c.oid = r.conrelid and c.relnamespace = 'grid'::regnamespace
join pg_class f on f.oid = r.confrelid and f.relnamespace = 'grid'::regnamespace
where r.contype = 'f' and r.conrelid <> r.confrelid

-- name: read_thresholds
copy loss.threshold to stdout

-- name: write_thresholds
copy loss.threshold from stdin

-- name: number_thresholds
-- The next one's number follows on those that were copied.
select setval(
  pg_get_serial_sequence('loss.threshold', 'threshold_id'), greatest(max(threshold_id), 1), count(*) > 0
)
from loss.threshold

-- name: has_units
select exists (select from grid.unit)

-- name: is_migrated
select to_regclass('telemetry.block') is not null
