-- name: add
insert into telemetry.worker_state (
  at, worker, part, lag_records, batches, records, readings, rejected, dropped, flush_s, slowest_flush_s, over_s
)
select %(at)s, %(worker)s, t.*, %(over_s)s
from unnest(
  %(part)s::text[], %(lag_records)s::bigint[], %(batches)s::integer[], %(records)s::bigint[], %(readings)s::bigint[],
  %(rejected)s::bigint[], %(dropped)s::bigint[], %(flush_s)s::float8[], %(slowest_flush_s)s::float8[]
) t
on conflict do nothing

-- name: forget
-- Of all workers: one that was stopped for good forgets nothing by itself.
delete from telemetry.worker_state where at < %(before)s
