-- depends: 0011.retention
-- Results with their parts: generation, what was estimated, technical loss, the parts of the error, class and reasons.

alter table loss.balance
  add column generation_wh bigint not null default 0,
  add column estimated_wh bigint not null default 0,
  add column technical_wh double precision,
  add column averaging_wh double precision,
  add column technical_sigma_wh double precision,
  add column members_technical_wh double precision,
  add column systematic_sigma_wh double precision not null default 0,
  add column ends_sigma_wh double precision not null default 0,
  add column total_sigma_wh double precision not null default 0,
  add column total_systematic_sigma_wh double precision not null default 0,
  add column class text not null default 'not_computable'
    check (class in ('not_computable', 'normal', 'high', 'negative')),
  add column reasons integer not null default 0;
alter table loss.superseded
  add column generation_wh bigint not null default 0,
  add column estimated_wh bigint not null default 0,
  add column technical_wh double precision,
  add column averaging_wh double precision,
  add column technical_sigma_wh double precision,
  add column members_technical_wh double precision,
  add column systematic_sigma_wh double precision not null default 0,
  add column ends_sigma_wh double precision not null default 0,
  add column total_sigma_wh double precision not null default 0,
  add column total_systematic_sigma_wh double precision not null default 0,
  add column class text not null default 'not_computable'
    check (class in ('not_computable', 'normal', 'high', 'negative')),
  add column reasons integer not null default 0;
-- What was settled before has an error that was all systematic.
update loss.balance set systematic_sigma_wh = sigma_wh, total_sigma_wh = sigma_wh, total_systematic_sigma_wh = sigma_wh, class = case when computable then 'normal' else 'not_computable' end;
update loss.superseded set systematic_sigma_wh = sigma_wh, total_sigma_wh = sigma_wh, total_systematic_sigma_wh = sigma_wh, class = case when computable then 'normal' else 'not_computable' end;

comment on column loss.balance.generation_wh is 'Fed in by customers and smaller units; part of inflow_wh';
comment on column loss.balance.estimated_wh is 'Energy of members that was estimated or substituted, either way; part of inflow_wh and outflow_wh';
comment on column loss.balance.technical_wh is 'Technical loss; NULL = not known. What is not explained is loss_wh - technical_wh';
comment on column loss.balance.averaging_wh is 'Part of technical_wh: what the mean over the interval hides';
comment on column loss.balance.technical_sigma_wh is 'Standard deviation of technical_wh';
comment on column loss.balance.members_technical_wh is 'Technical loss inside the smaller units; NULL = not known of one of them';
comment on column loss.balance.total_sigma_wh is 'Standard deviation of loss_wh + members_loss_wh';
comment on column loss.balance.total_systematic_sigma_wh is 'Part of total_sigma_wh that intervals share';
comment on column loss.balance.sigma_wh is 'Standard deviation of loss_wh, all parts together';
comment on column loss.balance.systematic_sigma_wh is 'Part of sigma_wh that intervals share: classes of meters and transformers';
comment on column loss.balance.ends_sigma_wh is 'Part of sigma_wh that neighbouring intervals give and take: register steps and clocks';
comment on column loss.balance.reasons is 'Bits; loss.reason_names tells them';

-- What members that are units say of all that is below them.
alter table telemetry.block
  add column technical_milli_wh bigint[],
  add column sold_sigma_wh bigint[],
  add column sold_systematic_wh bigint[];
comment on column telemetry.block.technical_milli_wh is 'Only where members are units: technical loss with all below, thousandths of a watt-hour';
comment on column telemetry.block.sold_sigma_wh is 'Only where members are units: standard deviation of what was sold below';
comment on column telemetry.block.sold_systematic_wh is 'Part of sold_sigma_wh that intervals share';

create table loss.reason (
  bit integer primary key,
  name text not null unique
);
insert into loss.reason (bit, name) values
  (1, 'no_gateway'), (2, 'missing_gateway'), (4, 'missing_members'), (8, 'estimated'), (16, 'substituted'),
  (32, 'switched'), (64, 'back_feed'), (128, 'low_inflow'), (256, 'generation'), (512, 'uncontracted'),
  (1024, 'wide_band'), (2048, 'suspected_ct'), (4096, 'suspected_relation'), (8192, 'no_technical'),
  (16384, 'suspect'), (32768, 'registers'), (65536, 'part_unknown');

create function loss.reason_names(reasons integer) returns text[]
language sql stable
begin atomic
  select coalesce(array_agg(r.name order by r.bit), '{}') from loss.reason r where r.bit & reasons <> 0;
end;

drop function loss.as_published;
create function loss.as_published(at timestamptz)
returns table (
  unit_id integer, observed_at timestamptz, interval_s integer, revision integer, inflow_wh bigint, outflow_wh bigint,
  loss_wh bigint, members_loss_wh bigint, uncontracted_wh bigint, sigma_wh double precision, coverage real,
  computable boolean, generation_wh bigint, estimated_wh bigint, technical_wh double precision,
  averaging_wh double precision, technical_sigma_wh double precision, members_technical_wh double precision,
  systematic_sigma_wh double precision, ends_sigma_wh double precision, total_sigma_wh double precision,
  total_systematic_sigma_wh double precision, class text, reasons integer, status text, published_at timestamptz
)
language sql stable
begin atomic
  select distinct on (r.unit_id, r.observed_at, r.interval_s) r.*
  from (
    select
      b.unit_id, b.observed_at, b.interval_s, b.revision, b.inflow_wh, b.outflow_wh, b.loss_wh, b.members_loss_wh,
      b.uncontracted_wh, b.sigma_wh, b.coverage, b.computable, b.generation_wh, b.estimated_wh, b.technical_wh,
      b.averaging_wh, b.technical_sigma_wh, b.members_technical_wh, b.systematic_sigma_wh, b.ends_sigma_wh,
      b.total_sigma_wh, b.total_systematic_sigma_wh, b.class, b.reasons, b.status, b.published_at
    from loss.balance b
    where b.published_at <= at
    union all
    select
      s.unit_id, s.observed_at, s.interval_s, s.revision, s.inflow_wh, s.outflow_wh, s.loss_wh, s.members_loss_wh,
      s.uncontracted_wh, s.sigma_wh, s.coverage, s.computable, s.generation_wh, s.estimated_wh, s.technical_wh,
      s.averaging_wh, s.technical_sigma_wh, s.members_technical_wh, s.systematic_sigma_wh, s.ends_sigma_wh,
      s.total_sigma_wh, s.total_systematic_sigma_wh, s.class, s.reasons, s.status, s.published_at
    from loss.superseded s
    where s.published_at <= at
  ) r
  order by r.unit_id, r.observed_at, r.interval_s, r.revision desc;
end;

do $$
begin
  if exists (select from pg_roles where rolname = 'meterline_board') then
    grant select on loss.reason to meterline_board;
  end if;
  if exists (select from pg_roles where rolname = 'meterline_app') then
    grant select on loss.reason to meterline_app;
  end if;
end
$$;
