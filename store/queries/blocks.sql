-- name: read
-- The bounds let the planner leave out chunks that no key lies in.
select
  k.n,
  b.interval_s,
  b.version,
  (extract(epoch from b.received_at) * 1000000)::bigint,
  b.sequence,
  b.import_wh,
  b.export_wh,
  b.loss_wh,
  b.voltage_dv,
  b.quality,
  l.status
from unnest(%(unit_id)s::int[], %(observed_at)s::timestamptz[]) with ordinality as k (unit_id, observed_at, n)
join telemetry.block b
  on b.unit_id = k.unit_id
  and b.observed_at = k.observed_at
left join loss.balance l
  on l.unit_id = b.unit_id
  and l.observed_at = b.observed_at
  and l.observed_at between %(first)s and %(last)s
where b.observed_at between %(first)s and %(last)s

-- name: stage
-- Made once a connection. Compressing a row that is read once, a moment later, is waste.
create temporary table if not exists stage_block (
  unit_id integer,
  observed_at timestamptz,
  interval_s integer,
  version integer,
  received_at timestamptz,
  sequence bigint[] storage external,
  import_wh bigint[] storage external,
  export_wh bigint[] storage external,
  loss_wh bigint[] storage external,
  voltage_dv smallint[] storage external,
  quality bytea storage external,
  inflow_wh bigint,
  outflow_wh bigint,
  own_loss_wh bigint,
  members_loss_wh bigint,
  sigma_wh double precision,
  coverage real,
  status text,
  computable boolean
) on commit delete rows

-- name: copy
copy pg_temp.stage_block from stdin (format binary)

-- name: write_blocks
-- The row that is replaced must be the one that was read: otherwise fewer rows change than were sent.
insert into telemetry.block as b (
  unit_id, observed_at, interval_s, version, received_at,
  sequence, import_wh, export_wh, loss_wh, voltage_dv, quality
)
select
  unit_id, observed_at, interval_s, version, received_at,
  sequence, import_wh, export_wh, loss_wh, voltage_dv, quality
from pg_temp.stage_block
order by unit_id, observed_at
on conflict (unit_id, observed_at) do update set
  interval_s = excluded.interval_s,
  version = excluded.version,
  received_at = excluded.received_at,
  recorded_at = excluded.recorded_at,
  sequence = excluded.sequence,
  import_wh = excluded.import_wh,
  export_wh = excluded.export_wh,
  loss_wh = excluded.loss_wh,
  voltage_dv = excluded.voltage_dv,
  quality = excluded.quality
where b.version = excluded.version - 1

-- name: write_balances
-- The block's row, locked just now, guards its balance.
insert into loss.balance as l (
  unit_id, observed_at, interval_s, inflow_wh, outflow_wh, loss_wh, members_loss_wh,
  sigma_wh, coverage, status, computable, revision, received_at
)
select
  unit_id, observed_at, interval_s, inflow_wh, outflow_wh, own_loss_wh, members_loss_wh,
  sigma_wh, coverage, status, computable, version, received_at
from pg_temp.stage_block
order by unit_id, observed_at
on conflict (unit_id, observed_at) do update set
  interval_s = excluded.interval_s,
  inflow_wh = excluded.inflow_wh,
  outflow_wh = excluded.outflow_wh,
  loss_wh = excluded.loss_wh,
  members_loss_wh = excluded.members_loss_wh,
  sigma_wh = excluded.sigma_wh,
  coverage = excluded.coverage,
  status = excluded.status,
  computable = excluded.computable,
  revision = excluded.revision,
  received_at = excluded.received_at,
  recorded_at = excluded.recorded_at
