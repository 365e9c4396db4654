-- name: read
-- Energies of some rows, and when they were known. The bounds let the planner leave out chunks that no key lies in.
select
  k.n, b.precedence, b.received_us, b.import_wh, b.export_wh, b.register_import_wh, b.quality
from unnest(%(unit_id)s::int[], %(observed_at)s::timestamptz[], %(interval_s)s::int[])
  with ordinality as k (unit_id, observed_at, interval_s, n)
join telemetry.block b
  on b.unit_id = k.unit_id
  and b.observed_at = k.observed_at
  and b.interval_s = k.interval_s
where b.observed_at between %(first)s and %(last)s
