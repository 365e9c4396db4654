-- depends: 0005.balance_index
-- SCADA points: what an RTU measures or reports, one by one.
create table grid.point (
  point_id integer generated always as identity primary key,
  code text not null unique,
  unit_id integer not null references grid.unit (unit_id),
  kind text not null check (kind in ('P', 'Q', 'U', 'I', 'switch', 'other')),
  unit_of_measure text not null,
  dead_band double precision not null check (dead_band >= 0),
  cycle_s integer not null check (cycle_s between 1 and 3600),
  sign smallint not null check (sign in (1, -1)),
  meter text,
  switch text,
  check (kind <> 'P' or unit_of_measure in ('W', 'kW', 'MW')),
  check (meter is null or kind = 'P'),
  check (switch is null or kind = 'switch')
);
create index point_unit on grid.point (unit_id);
comment on column grid.point.dead_band is 'In the unit of measure: the device reports when the value has moved by more';
comment on column grid.point.cycle_s is 'The device reports at least this often; a value is known for two cycles';
comment on column grid.point.sign is '1 where a positive value flows into the unit, -1 where out of it';
comment on column grid.point.meter is 'Gateway meter whose missing register the integrated power stands in for';
comment on column grid.point.switch is 'Switch whose position the point reports: 1 closed, 0 open';

-- One row = the points of one message that were observed within one minute, an array a column: active power first, then
-- the others, each in order of time. Rows are added and never merged: the digest of the message keys them, so a repeat
-- changes nothing and order of arrival doesn't matter.
create table telemetry.scada (
  unit_id integer not null,
  observed_at timestamptz not null,
  digest bigint not null,
  sequence bigint not null,
  cause smallint not null,
  received_at timestamptz not null,
  first_us integer not null,
  power_count integer not null,
  point_id integer[] not null,
  offset_us integer[] not null,
  value double precision[] not null,
  quality bytea not null,
  primary key (unit_id, observed_at, digest)
);
comment on column telemetry.scada.observed_at is 'Beginning of the minute';
comment on column telemetry.scada.cause is 'Cause of transmission, IEC 60870-5-101: 1 cyclic, 3 spontaneous, 20 interrogation';
comment on column telemetry.scada.first_us is 'The least of offset_us';
comment on column telemetry.scada.power_count is 'How many of the points, from the first, are of active power';
comment on column telemetry.scada.offset_us is 'Microseconds from observed_at';
comment on column telemetry.scada.quality is 'A byte a point: quality descriptor of IEC 60870-5-101';

-- What was seen last of each point; what was observed earlier never replaces it, whenever it comes.
create table telemetry.point_last (
  point_id integer primary key references grid.point (point_id),
  observed_at timestamptz not null,
  received_at timestamptz not null,
  sequence bigint not null,
  value double precision not null,
  rank smallint not null,
  quality smallint not null
) with (fillfactor = 50);
comment on column telemetry.point_last.value is 'NaN = none';
comment on column telemetry.point_last.rank is '0 not known, 1 substituted, 2 good';

do $$
begin
  if exists (select from pg_extension where extname = 'timescaledb') then
    perform create_hypertable('telemetry.scada', 'observed_at', chunk_time_interval => interval '1 day', create_default_indexes => false);
  end if;
  begin
    execute 'alter table telemetry.scada ' || (
      select string_agg(format('alter column %I set storage main, alter column %I set compression lz4', c, c), ', ')
      from unnest(array['point_id', 'offset_us', 'value', 'quality']) c
    );
  exception when feature_not_supported then
    raise notice 'this server has no lz4: points are stored with pglz';
  end;
  if exists (select from pg_roles where rolname = 'meterline_board') then
    -- What a feeder carries concerns no single customer.
    grant select on grid.point, telemetry.point_last to meterline_board;
  end if;
end
$$;

-- One row per report, for analysts.
create view telemetry.point_report as
select
  s.unit_id,
  p.code as point,
  p.kind,
  s.observed_at + x.offset_us * interval '1 microsecond' as observed_at,
  s.observed_at as minute,
  nullif(x.value, 'NaN') as value,
  p.unit_of_measure,
  get_byte(s.quality, (x.n - 1)::integer) as quality,
  s.cause,
  s.sequence,
  s.received_at
from telemetry.scada s
cross join lateral unnest(s.point_id, s.offset_us, s.value) with ordinality as x (point_id, offset_us, value, n)
join grid.point p on p.point_id = x.point_id;
