-- depends: 0005.balance_index
-- Blocks of more channels, each value with its own precedence and time of receipt; intervals of several lengths that
-- end at one instant; results with their publications.

alter table telemetry.block drop constraint block_pkey;
alter table telemetry.block add primary key (unit_id, observed_at, interval_s);
alter table telemetry.block alter column version type bigint;
alter table telemetry.block rename column sequence to precedence;
alter table telemetry.block rename column voltage_dv to voltage_a_dv;
alter table telemetry.block
  add column received_us bigint[] not null default '{}',
  add column sigma_wh bigint[],
  add column final_us bigint[],
  add column register_import_wh bigint[],
  add column register_export_wh bigint[],
  add column opening_import_wh bigint[],
  add column opening_export_wh bigint[],
  add column voltage_b_dv smallint[],
  add column voltage_c_dv smallint[],
  add column current_a_ca smallint[],
  add column current_b_ca smallint[],
  add column current_c_ca smallint[],
  add column power_factor_permille smallint[];
-- What was stored before was valid, or missing: a rank of 4 above the sender's sequence.
update telemetry.block set
  precedence = (select array_agg(4 * (1::bigint << 60) + s order by n) from unnest(precedence) with ordinality as t (s, n)),
  received_us = array[(extract(epoch from received_at) * 1000000)::bigint];
alter table telemetry.block alter column received_us drop default;
comment on column telemetry.block.precedence is 'Rank of the quality and the sender''s sequence of each value; one element stands for all, one a position for all its channels';
comment on column telemetry.block.received_us is 'When each value was received, laid out as precedence';
comment on column telemetry.block.final_us is 'Only where members are units: when each became final';
comment on column telemetry.block.sigma_wh is 'Standard deviation of a substitute beyond the class of its meter';

alter table loss.balance drop constraint balance_pkey;
alter table loss.balance add primary key (unit_id, observed_at, interval_s);
alter table loss.balance
  add column uncontracted_wh bigint not null default 0,
  add column published_at timestamptz,
  add column due_at timestamptz;
update loss.balance set revision = 1, published_at = received_at where status <> 'provisional';
update loss.balance set revision = 0, due_at = observed_at + interval '1 day' where status = 'provisional';
comment on column loss.balance.uncontracted_wh is 'Taken by customers'' meters while they had no active account; part of outflow_wh';
comment on column loss.balance.revision is 'Number of the publication; 0: figures that grow until the provisional limit';
comment on column loss.balance.published_at is 'When this revision came to be, by the times of receipt and the limits';
comment on column loss.balance.due_at is 'When the next revision is due at the latest';
create index balance_due on loss.balance (due_at) where due_at is not null;

-- Published results that a later revision has taken the place of.
create table loss.superseded (
  unit_id integer not null,
  observed_at timestamptz not null,
  interval_s integer not null,
  revision integer not null,
  inflow_wh bigint not null,
  outflow_wh bigint not null,
  loss_wh bigint not null,
  members_loss_wh bigint not null,
  uncontracted_wh bigint not null,
  sigma_wh double precision not null,
  coverage real not null,
  computable boolean not null,
  status text not null check (status in ('provisional', 'final', 'restated')),
  published_at timestamptz not null,
  recorded_at timestamptz not null default now(),
  primary key (unit_id, observed_at, interval_s, revision)
);
comment on column loss.superseded.recorded_at is 'When a later revision took its place';

do $$
begin
  if exists (select from pg_extension where extname = 'timescaledb') then
    perform create_hypertable('loss.superseded', 'observed_at', chunk_time_interval => interval '7 days', create_default_indexes => false);
  end if;
  execute 'alter table telemetry.block ' || (
    select string_agg(format('alter column %I set storage main', attname), ', ')
    from pg_attribute
    where attrelid = 'telemetry.block'::regclass and attnum > 0 and not attisdropped and attlen = -1
  );
  begin
    execute 'alter table telemetry.block ' || (
      select string_agg(format('alter column %I set compression lz4', attname), ', ')
      from pg_attribute
      where attrelid = 'telemetry.block'::regclass and attnum > 0 and not attisdropped and attlen = -1
    );
  exception when feature_not_supported then
    raise notice 'this server has no lz4: blocks are stored with pglz';
  end;
  if exists (select from pg_roles where rolname = 'meterline_board') then
    grant select on loss.superseded to meterline_board;
  end if;
end
$$;

-- Results as they were published at an instant: the last revision that had come to be by then.
create function loss.as_published(at timestamptz)
returns table (
  unit_id integer, observed_at timestamptz, interval_s integer, revision integer, inflow_wh bigint, outflow_wh bigint,
  loss_wh bigint, members_loss_wh bigint, uncontracted_wh bigint, sigma_wh double precision, coverage real,
  computable boolean, status text, published_at timestamptz
)
language sql stable
begin atomic
  select distinct on (r.unit_id, r.observed_at, r.interval_s) r.*
  from (
    select
      b.unit_id, b.observed_at, b.interval_s, b.revision, b.inflow_wh, b.outflow_wh, b.loss_wh, b.members_loss_wh,
      b.uncontracted_wh, b.sigma_wh, b.coverage, b.computable, b.status, b.published_at
    from loss.balance b
    where b.published_at <= at
    union all
    select
      s.unit_id, s.observed_at, s.interval_s, s.revision, s.inflow_wh, s.outflow_wh, s.loss_wh, s.members_loss_wh,
      s.uncontracted_wh, s.sigma_wh, s.coverage, s.computable, s.status, s.published_at
    from loss.superseded s
    where s.published_at <= at
  ) r
  order by r.unit_id, r.observed_at, r.interval_s, r.revision desc;
end;

drop view telemetry.reading;
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
  nullif(b.register_import_wh[m.position + 1], -9223372036854775808) as register_import_wh,
  nullif(b.register_export_wh[m.position + 1], -9223372036854775808) as register_export_wh,
  nullif(b.voltage_a_dv[m.position + 1], -32768) / 10.0 as voltage_a_v,
  nullif(b.voltage_b_dv[m.position + 1], -32768) / 10.0 as voltage_b_v,
  nullif(b.voltage_c_dv[m.position + 1], -32768) / 10.0 as voltage_c_v,
  nullif(b.current_a_ca[m.position + 1], -32768) / 100.0 as current_a_a,
  nullif(b.current_b_ca[m.position + 1], -32768) / 100.0 as current_b_a,
  nullif(b.current_c_ca[m.position + 1], -32768) / 100.0 as current_c_a,
  nullif(b.power_factor_permille[m.position + 1], -32768) / 1000.0 as power_factor,
  case when m.position < length(b.quality) then get_byte(b.quality, m.position) else 1 end as quality
from telemetry.block b
join grid.unit u using (unit_id)
join grid.member m
  on m.unit_id = b.unit_id
  and m.valid && tstzrange(b.observed_at - b.interval_s * interval '1 second', b.observed_at)
  and upper_inf(m.recorded)
where m.meter is not null;
comment on view telemetry.reading is 'One row a meter and interval; energies of an interval in which the meter came or went are those of the whole interval';
