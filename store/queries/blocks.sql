-- name: read
-- The bounds let the planner leave out chunks that no key lies in.
select
  k.n,
  b.version & 4294967295,
  (extract(epoch from b.received_at) * 1000000)::bigint,
  b.precedence, b.received_us,
  b.import_wh, b.export_wh, b.register_import_wh, b.register_export_wh,
  b.voltage_a_dv, b.voltage_b_dv, b.voltage_c_dv, b.current_a_ca, b.current_b_ca, b.current_c_ca,
  b.power_factor_permille, b.opening_import_wh, b.opening_export_wh, b.final_us,
  b.loss_wh, b.sigma_wh, b.technical_milli_wh, b.sold_sigma_wh, b.sold_systematic_wh, b.sigma_systematic_wh,
  b.gap_sigma_wh, b.quality,
  l.inflow_wh, l.outflow_wh, l.loss_wh, l.members_loss_wh, l.uncontracted_wh, l.sigma_wh, l.coverage, l.computable,
  l.generation_wh, l.estimated_wh, l.technical_wh, l.averaging_wh, l.technical_sigma_wh, l.members_technical_wh,
  l.systematic_sigma_wh, l.ends_sigma_wh, l.total_sigma_wh, l.total_systematic_sigma_wh, l.export_sigma_wh,
  l.gap_sigma_wh, l.class, l.reasons, l.status, l.revision,
  (extract(epoch from l.published_at) * 1000000)::bigint,
  (extract(epoch from l.due_at) * 1000000)::bigint
from unnest(%(unit_id)s::int[], %(observed_at)s::timestamptz[], %(interval_s)s::int[])
  with ordinality as k (unit_id, observed_at, interval_s, n)
join telemetry.block b
  on b.unit_id = k.unit_id
  and b.observed_at = k.observed_at
  and b.interval_s = k.interval_s
join loss.balance l
  on l.unit_id = b.unit_id
  and l.observed_at = b.observed_at
  and l.interval_s = b.interval_s
  and l.observed_at between %(first)s and %(last)s
where b.observed_at between %(first)s and %(last)s

-- name: copy_new_blocks
copy telemetry.block (
  unit_id, observed_at, interval_s, version, received_at, precedence, received_us,
  import_wh, export_wh, register_import_wh, register_export_wh,
  voltage_a_dv, voltage_b_dv, voltage_c_dv, current_a_ca, current_b_ca, current_c_ca,
  power_factor_permille, opening_import_wh, opening_export_wh, final_us, loss_wh, sigma_wh,
  technical_milli_wh, sold_sigma_wh, sold_systematic_wh, sigma_systematic_wh, gap_sigma_wh, quality
) from stdin (format binary)

-- name: copy_new_balances
copy loss.balance (
  unit_id, observed_at, interval_s, inflow_wh, outflow_wh, loss_wh, members_loss_wh, uncontracted_wh,
  sigma_wh, coverage, computable,
  generation_wh, estimated_wh, technical_wh, averaging_wh, technical_sigma_wh, members_technical_wh,
  systematic_sigma_wh, ends_sigma_wh, total_sigma_wh, total_systematic_sigma_wh, export_sigma_wh,
  gap_sigma_wh, class, reasons, status, revision, published_at, due_at, received_at
) from stdin (format binary)

-- name: stage
-- Made once a connection. Compressing a row that is read once, a moment later, is waste.
create temporary table if not exists stage_block (
  unit_id integer,
  observed_at timestamptz,
  interval_s integer,
  version bigint,
  received_at timestamptz,
  precedence bigint[] storage external,
  received_us bigint[] storage external,
  import_wh bigint[] storage external,
  export_wh bigint[] storage external,
  register_import_wh bigint[] storage external,
  register_export_wh bigint[] storage external,
  voltage_a_dv smallint[] storage external,
  voltage_b_dv smallint[] storage external,
  voltage_c_dv smallint[] storage external,
  current_a_ca smallint[] storage external,
  current_b_ca smallint[] storage external,
  current_c_ca smallint[] storage external,
  power_factor_permille smallint[] storage external,
  opening_import_wh bigint[] storage external,
  opening_export_wh bigint[] storage external,
  final_us bigint[] storage external,
  loss_wh bigint[] storage external,
  sigma_wh bigint[] storage external,
  technical_milli_wh bigint[] storage external,
  sold_sigma_wh bigint[] storage external,
  sold_systematic_wh bigint[] storage external,
  sigma_systematic_wh bigint[] storage external,
  gap_sigma_wh bigint[] storage external,
  quality bytea storage external
) on commit delete rows;
create temporary table if not exists stage_balance (
  unit_id integer,
  observed_at timestamptz,
  interval_s integer,
  inflow_wh bigint,
  outflow_wh bigint,
  loss_wh bigint,
  members_loss_wh bigint,
  uncontracted_wh bigint,
  sigma_wh double precision,
  coverage real,
  computable boolean,
  generation_wh bigint,
  estimated_wh bigint,
  technical_wh double precision,
  averaging_wh double precision,
  technical_sigma_wh double precision,
  members_technical_wh double precision,
  systematic_sigma_wh double precision,
  ends_sigma_wh double precision,
  total_sigma_wh double precision,
  total_systematic_sigma_wh double precision,
  export_sigma_wh double precision,
  gap_sigma_wh double precision,
  class text,
  reasons integer,
  status text,
  revision integer,
  published_at timestamptz,
  due_at timestamptz,
  received_at timestamptz
) on commit delete rows

-- name: copy_stage_blocks
copy pg_temp.stage_block from stdin (format binary)

-- name: copy_stage_balances
copy pg_temp.stage_balance from stdin (format binary)

-- name: stage_superseded
-- Made once a connection.
create temporary table if not exists stage_superseded (
  unit_id integer,
  observed_at timestamptz,
  interval_s integer,
  inflow_wh bigint,
  outflow_wh bigint,
  loss_wh bigint,
  members_loss_wh bigint,
  uncontracted_wh bigint,
  sigma_wh double precision,
  coverage real,
  computable boolean,
  generation_wh bigint,
  estimated_wh bigint,
  technical_wh double precision,
  averaging_wh double precision,
  technical_sigma_wh double precision,
  members_technical_wh double precision,
  systematic_sigma_wh double precision,
  ends_sigma_wh double precision,
  total_sigma_wh double precision,
  total_systematic_sigma_wh double precision,
  export_sigma_wh double precision,
  gap_sigma_wh double precision,
  class text,
  reasons integer,
  status text,
  revision integer,
  published_at timestamptz
) on commit delete rows

-- name: copy_superseded
copy pg_temp.stage_superseded from stdin

-- name: write_blocks
-- The row that is replaced must be the one that was read: otherwise fewer rows change than were sent. The version that
-- was read comes in the upper half of the staged one; a row that is new has read 0.
insert into telemetry.block as b (
  unit_id, observed_at, interval_s, version, received_at, precedence, received_us,
  import_wh, export_wh, register_import_wh, register_export_wh,
  voltage_a_dv, voltage_b_dv, voltage_c_dv, current_a_ca, current_b_ca, current_c_ca,
  power_factor_permille, opening_import_wh, opening_export_wh, final_us, loss_wh, sigma_wh,
  technical_milli_wh, sold_sigma_wh, sold_systematic_wh, sigma_systematic_wh, gap_sigma_wh, quality
)
select
  unit_id, observed_at, interval_s, version, received_at, precedence, received_us,
  import_wh, export_wh, register_import_wh, register_export_wh,
  voltage_a_dv, voltage_b_dv, voltage_c_dv, current_a_ca, current_b_ca, current_c_ca,
  power_factor_permille, opening_import_wh, opening_export_wh, final_us, loss_wh, sigma_wh,
  technical_milli_wh, sold_sigma_wh, sold_systematic_wh, sigma_systematic_wh, gap_sigma_wh, quality
from pg_temp.stage_block
order by unit_id, observed_at, interval_s
on conflict (unit_id, observed_at, interval_s) do update set
  version = excluded.version & 4294967295,
  received_at = excluded.received_at,
  recorded_at = excluded.recorded_at,
  precedence = excluded.precedence,
  received_us = excluded.received_us,
  import_wh = excluded.import_wh,
  export_wh = excluded.export_wh,
  register_import_wh = excluded.register_import_wh,
  register_export_wh = excluded.register_export_wh,
  voltage_a_dv = excluded.voltage_a_dv,
  voltage_b_dv = excluded.voltage_b_dv,
  voltage_c_dv = excluded.voltage_c_dv,
  current_a_ca = excluded.current_a_ca,
  current_b_ca = excluded.current_b_ca,
  current_c_ca = excluded.current_c_ca,
  power_factor_permille = excluded.power_factor_permille,
  opening_import_wh = excluded.opening_import_wh,
  opening_export_wh = excluded.opening_export_wh,
  final_us = excluded.final_us,
  loss_wh = excluded.loss_wh,
  sigma_wh = excluded.sigma_wh,
  technical_milli_wh = excluded.technical_milli_wh,
  sold_sigma_wh = excluded.sold_sigma_wh,
  sold_systematic_wh = excluded.sold_systematic_wh,
  sigma_systematic_wh = excluded.sigma_systematic_wh,
  gap_sigma_wh = excluded.gap_sigma_wh,
  quality = excluded.quality
where b.version & 4294967295 = excluded.version >> 32

-- name: keep_superseded
-- What was published goes where it can still be read, before another revision takes its place.
insert into loss.superseded (
  unit_id, observed_at, interval_s, revision, inflow_wh, outflow_wh, loss_wh, members_loss_wh, uncontracted_wh,
  sigma_wh, coverage, computable,
  generation_wh, estimated_wh, technical_wh, averaging_wh, technical_sigma_wh, members_technical_wh,
  systematic_sigma_wh, ends_sigma_wh, total_sigma_wh, total_systematic_sigma_wh, export_sigma_wh,
  gap_sigma_wh, class, reasons, status, published_at
)
select
  l.unit_id, l.observed_at, l.interval_s, l.revision, l.inflow_wh, l.outflow_wh, l.loss_wh, l.members_loss_wh,
  l.uncontracted_wh, l.sigma_wh, l.coverage, l.computable,
  l.generation_wh, l.estimated_wh, l.technical_wh, l.averaging_wh, l.technical_sigma_wh, l.members_technical_wh,
  l.systematic_sigma_wh, l.ends_sigma_wh, l.total_sigma_wh, l.total_systematic_sigma_wh, l.export_sigma_wh,
  l.gap_sigma_wh, l.class, l.reasons, l.status, l.published_at
from pg_temp.stage_block b
join pg_temp.stage_balance s using (unit_id, observed_at, interval_s)
join loss.balance l using (unit_id, observed_at, interval_s)
where l.observed_at between %(first)s and %(last)s and l.revision > 0 and s.revision > l.revision and b.version >> 32 > 0
order by 1, 2, 3, 4
on conflict do nothing

-- name: write_superseded
-- What was published by one message of a batch and replaced by another.
insert into loss.superseded (
  unit_id, observed_at, interval_s, revision, inflow_wh, outflow_wh, loss_wh, members_loss_wh, uncontracted_wh,
  sigma_wh, coverage, computable,
  generation_wh, estimated_wh, technical_wh, averaging_wh, technical_sigma_wh, members_technical_wh,
  systematic_sigma_wh, ends_sigma_wh, total_sigma_wh, total_systematic_sigma_wh, export_sigma_wh,
  gap_sigma_wh, class, reasons, status, published_at
)
select
  unit_id, observed_at, interval_s, revision, inflow_wh, outflow_wh, loss_wh, members_loss_wh, uncontracted_wh,
  sigma_wh, coverage, computable,
  generation_wh, estimated_wh, technical_wh, averaging_wh, technical_sigma_wh, members_technical_wh,
  systematic_sigma_wh, ends_sigma_wh, total_sigma_wh, total_systematic_sigma_wh, export_sigma_wh,
  gap_sigma_wh, class, reasons, status, published_at
from pg_temp.stage_superseded
order by 1, 2, 3, 4
on conflict do nothing

-- name: write_balances
-- The block's row, locked just now, guards its balance. Where the block was gone before its result, as retention may have
-- it, what comes late starts from nothing: it must not take the place of what was published from all of it.
insert into loss.balance as l (
  unit_id, observed_at, interval_s, inflow_wh, outflow_wh, loss_wh, members_loss_wh, uncontracted_wh,
  sigma_wh, coverage, computable,
  generation_wh, estimated_wh, technical_wh, averaging_wh, technical_sigma_wh, members_technical_wh,
  systematic_sigma_wh, ends_sigma_wh, total_sigma_wh, total_systematic_sigma_wh, export_sigma_wh,
  gap_sigma_wh, class, reasons, status, revision, published_at, due_at, received_at
)
select
  unit_id, observed_at, interval_s, inflow_wh, outflow_wh, loss_wh, members_loss_wh, uncontracted_wh,
  sigma_wh, coverage, computable,
  generation_wh, estimated_wh, technical_wh, averaging_wh, technical_sigma_wh, members_technical_wh,
  systematic_sigma_wh, ends_sigma_wh, total_sigma_wh, total_systematic_sigma_wh, export_sigma_wh,
  gap_sigma_wh, class, reasons, status, revision, published_at, due_at, received_at
from pg_temp.stage_balance
order by unit_id, observed_at, interval_s
on conflict (unit_id, observed_at, interval_s) do update set
  inflow_wh = excluded.inflow_wh,
  outflow_wh = excluded.outflow_wh,
  loss_wh = excluded.loss_wh,
  members_loss_wh = excluded.members_loss_wh,
  uncontracted_wh = excluded.uncontracted_wh,
  sigma_wh = excluded.sigma_wh,
  coverage = excluded.coverage,
  computable = excluded.computable,
  generation_wh = excluded.generation_wh,
  estimated_wh = excluded.estimated_wh,
  technical_wh = excluded.technical_wh,
  averaging_wh = excluded.averaging_wh,
  technical_sigma_wh = excluded.technical_sigma_wh,
  members_technical_wh = excluded.members_technical_wh,
  systematic_sigma_wh = excluded.systematic_sigma_wh,
  ends_sigma_wh = excluded.ends_sigma_wh,
  total_sigma_wh = excluded.total_sigma_wh,
  total_systematic_sigma_wh = excluded.total_systematic_sigma_wh,
  export_sigma_wh = excluded.export_sigma_wh,
  gap_sigma_wh = excluded.gap_sigma_wh,
  class = excluded.class,
  reasons = excluded.reasons,
  status = excluded.status,
  revision = excluded.revision,
  published_at = excluded.published_at,
  due_at = excluded.due_at,
  received_at = excluded.received_at,
  recorded_at = excluded.recorded_at
where l.revision = 0
  or (l.unit_id, l.observed_at, l.interval_s) in (
    select s.unit_id, s.observed_at, s.interval_s from pg_temp.stage_block s where s.version >> 32 > 0
  )

-- name: lock_units
-- Units share 256 locks, since a lock a unit would fill the server's table of locks. They are taken in rising order,
-- whoever asks: `offset 0` keeps the sorted rows apart from what is done with each.
select pg_advisory_xact_lock(hashtext('meterline.unit'), n)
from (
  select distinct unit_id & 255 as n from unnest(%(unit_ids)s::int[]) as unit_id order by 1 offset 0
) locks
