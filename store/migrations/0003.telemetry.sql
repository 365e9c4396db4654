-- depends: 0002.grid
-- One row = one unit at one interval, an array a channel, in the order of the unit's roster.
-- A short array means that later positions are missing; a missing value is the type's minimum.
create table telemetry.block (
  unit_id integer not null,
  observed_at timestamptz not null,
  interval_s integer not null,
  version integer not null,
  received_at timestamptz not null,
  recorded_at timestamptz not null default now(),
  sequence bigint[] not null,
  import_wh bigint[] not null,
  export_wh bigint[] not null,
  loss_wh bigint[],
  voltage_dv smallint[],
  quality bytea not null,
  primary key (unit_id, observed_at)
);
comment on column telemetry.block.observed_at is 'End of the interval';
comment on column telemetry.block.sequence is 'The sender''s sequence a position; one element stands for all';
comment on column telemetry.block.loss_wh is 'Only where members are units: the loss inside each';

-- Settled results of every kind of unit.
create table loss.balance (
  unit_id integer not null,
  observed_at timestamptz not null,
  interval_s integer not null,
  inflow_wh bigint not null,
  outflow_wh bigint not null,
  loss_wh bigint not null,
  members_loss_wh bigint not null,
  sigma_wh double precision not null,
  coverage real not null,
  status text not null check (status in ('provisional', 'final', 'restated')),
  computable boolean not null,
  revision integer not null,
  received_at timestamptz not null,
  recorded_at timestamptz not null default now(),
  primary key (unit_id, observed_at)
);
comment on column loss.balance.members_loss_wh is 'Loss inside the smaller units; loss with areas = loss_wh + this';
comment on column loss.balance.sigma_wh is 'Standard deviation of loss_wh from meter classes and register steps';

do $$
begin
  if exists (select from pg_extension where extname = 'timescaledb') then
    perform create_hypertable('telemetry.block', 'observed_at', chunk_time_interval => interval '1 day', create_default_indexes => false);
    perform create_hypertable('loss.balance', 'observed_at', chunk_time_interval => interval '7 days', create_default_indexes => false);
  end if;
  -- pglz would be the bottleneck for arrays over 2 kB.
  execute 'alter table telemetry.block ' || (
    select string_agg(format('alter column %I set storage main', c), ', ')
    from unnest(array['sequence', 'import_wh', 'export_wh', 'loss_wh', 'voltage_dv', 'quality']) c
  );
  begin
    execute 'alter table telemetry.block ' || (
      select string_agg(format('alter column %I set compression lz4', c), ', ')
      from unnest(array['sequence', 'import_wh', 'export_wh', 'loss_wh', 'voltage_dv', 'quality']) c
    );
  exception when feature_not_supported then
    raise notice 'this server has no lz4: blocks are stored with pglz';
  end;
end
$$;
create index balance_observed on loss.balance (observed_at desc);

-- What could not be taken, with its original bytes. Quarantined input is tried again when the model knows more.
create table telemetry.rejected (
  id bigint generated always as identity primary key,
  fingerprint bytea not null unique,
  reason text not null,
  detail text not null,
  quarantined boolean not null,
  topic text not null,
  meters text[] not null,
  original bytea not null,
  original_size integer not null,
  first_at timestamptz not null,
  seen integer not null default 1,
  replayed_at timestamptz
);
comment on column telemetry.rejected.fingerprint is 'SHA-256 of reason, topic and original: the same input again is counted, not stored again';
create index rejected_open on telemetry.rejected (first_at desc) where replayed_at is null;

-- One row per meter, for analysts.
create view telemetry.reading as
select
  b.unit_id,
  u.code as unit,
  m.meter,
  b.observed_at,
  b.interval_s,
  m.role,
  nullif(b.import_wh[m.position + 1], -9223372036854775808) * m.multiplier as import_wh,
  nullif(b.export_wh[m.position + 1], -9223372036854775808) * m.multiplier as export_wh,
  nullif(b.voltage_dv[m.position + 1], -32768) / 10.0 as voltage_v,
  case when m.position < length(b.quality) then get_byte(b.quality, m.position) else 1 end as quality
from telemetry.block b
join grid.unit u using (unit_id)
join grid.member m on m.unit_id = b.unit_id and m.valid @> b.observed_at - interval '1 microsecond' and upper_inf(m.recorded)
where m.meter is not null;
