-- depends: 0015.networks
-- On what of a period its class rests, and which part of an error came with exported energy.

alter table loss.balance add column export_sigma_wh double precision not null default 0;
alter table loss.superseded add column export_sigma_wh double precision not null default 0;
comment on column loss.balance.export_sigma_wh is 'Part of systematic_sigma_wh from what was exported';
comment on column loss.superseded.export_sigma_wh is 'Part of systematic_sigma_wh from what was exported';

-- Of rows from before, all of what was computable is judged, as it was then.
alter table loss.period_revision
  add column export_sigma_wh double precision not null default 0,
  add column judged_s bigint not null default 0,
  add column judged_inflow_wh bigint not null default 0,
  add column judged_loss_wh bigint not null default 0,
  add column judged_random_sigma_wh double precision not null default 0;
comment on column loss.period_revision.export_sigma_wh is 'Part of systematic_sigma_wh from what was exported';
comment on column loss.period_revision.judged_s is 'Seconds that were measured well enough for a class, of covered_s';
comment on column loss.period_revision.judged_inflow_wh is 'Inflow of these';
comment on column loss.period_revision.judged_loss_wh is 'Loss of these';
comment on column loss.period_revision.judged_random_sigma_wh is 'Standard deviation of judged_loss_wh without what intervals share';
update loss.period_revision set
  judged_s = covered_s,
  judged_inflow_wh = inflow_wh,
  judged_loss_wh = loss_wh,
  judged_random_sigma_wh = sqrt(greatest(0, sigma_wh ^ 2 - systematic_sigma_wh ^ 2));

create or replace view loss.period as
select
  unit_id, period, first_day, revision, begins_at, ends_at, expected_s, covered_s, intervals, from_at, to_at,
  inflow_wh, outflow_wh, loss_wh, members_loss_wh, uncontracted_wh, generation_wh, estimated_wh,
  (estimated_wh / nullif(inflow_wh + outflow_wh, 0)::float8) as estimated_share,
  technical_wh, averaging_wh, technical_sigma_wh, sigma_wh, systematic_sigma_wh, ends_sigma_wh,
  computable, class, reasons, status, published_at, due_at, recorded_at,
  judged_s, judged_inflow_wh, judged_loss_wh, judged_random_sigma_wh
from loss.period_revision
where until_at is null;

insert into loss.reason (bit, name) values (131072, 'few_measured');

drop function loss.as_published;
create function loss.as_published(at timestamptz)
returns table (
  unit_id integer, observed_at timestamptz, interval_s integer, revision integer, inflow_wh bigint, outflow_wh bigint,
  loss_wh bigint, members_loss_wh bigint, uncontracted_wh bigint, sigma_wh double precision, coverage real,
  computable boolean, generation_wh bigint, estimated_wh bigint, technical_wh double precision,
  averaging_wh double precision, technical_sigma_wh double precision, members_technical_wh double precision,
  systematic_sigma_wh double precision, ends_sigma_wh double precision, total_sigma_wh double precision,
  total_systematic_sigma_wh double precision, export_sigma_wh double precision, class text, reasons integer,
  status text, published_at timestamptz
)
language sql stable
begin atomic
  select distinct on (r.unit_id, r.observed_at, r.interval_s) r.*
  from (
    select
      b.unit_id, b.observed_at, b.interval_s, b.revision, b.inflow_wh, b.outflow_wh, b.loss_wh, b.members_loss_wh,
      b.uncontracted_wh, b.sigma_wh, b.coverage, b.computable, b.generation_wh, b.estimated_wh, b.technical_wh,
      b.averaging_wh, b.technical_sigma_wh, b.members_technical_wh, b.systematic_sigma_wh, b.ends_sigma_wh,
      b.total_sigma_wh, b.total_systematic_sigma_wh, b.export_sigma_wh, b.class, b.reasons, b.status, b.published_at
    from loss.balance b
    where b.published_at <= at
    union all
    select
      s.unit_id, s.observed_at, s.interval_s, s.revision, s.inflow_wh, s.outflow_wh, s.loss_wh, s.members_loss_wh,
      s.uncontracted_wh, s.sigma_wh, s.coverage, s.computable, s.generation_wh, s.estimated_wh, s.technical_wh,
      s.averaging_wh, s.technical_sigma_wh, s.members_technical_wh, s.systematic_sigma_wh, s.ends_sigma_wh,
      s.total_sigma_wh, s.total_systematic_sigma_wh, s.export_sigma_wh, s.class, s.reasons, s.status, s.published_at
    from loss.superseded s
    where s.published_at <= at
  ) r
  order by r.unit_id, r.observed_at, r.interval_s, r.revision desc;
end;

-- With the new columns.
create or replace function loss.periods_as_published(at timestamptz) returns setof loss.period_revision
language sql stable
begin atomic
  select * from loss.period_revision r
  where r.revision > 0 and r.published_at <= at and (r.until_at is null or r.until_at > at);
end;
