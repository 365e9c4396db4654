-- depends: 0050.dropped
-- An estimate's own deviation beside what it adds to sums over time: errors inside a gap hang together. Until now one
-- figure stood for both, and the band of a single interval was that of its part of the gap's sum.

alter table telemetry.block add column gap_sigma_wh bigint[];
comment on column telemetry.block.gap_sigma_wh is
  'Of estimates: what a value''s error adds to a sum over time beyond sigma_wh, since errors inside a gap hang together';
alter table loss.balance add column gap_sigma_wh double precision not null default 0;
alter table loss.superseded add column gap_sigma_wh double precision not null default 0;
comment on column loss.balance.gap_sigma_wh is
  'What the loss''s error adds to a sum over time beyond sigma_wh: of members that are estimated in longer gaps';
comment on column loss.superseded.gap_sigma_wh is
  'What the loss''s error adds to a sum over time beyond sigma_wh: of members that are estimated in longer gaps';

drop function loss.as_published;
create function loss.as_published(at timestamptz)
returns table (
  unit_id integer, observed_at timestamptz, interval_s integer, revision integer, inflow_wh bigint, outflow_wh bigint,
  loss_wh bigint, members_loss_wh bigint, uncontracted_wh bigint, sigma_wh double precision, coverage real,
  computable boolean, generation_wh bigint, estimated_wh bigint, technical_wh double precision,
  averaging_wh double precision, technical_sigma_wh double precision, members_technical_wh double precision,
  systematic_sigma_wh double precision, ends_sigma_wh double precision, total_sigma_wh double precision,
  total_systematic_sigma_wh double precision, export_sigma_wh double precision,
  gap_sigma_wh double precision, class text, reasons integer, status text, published_at timestamptz
)
language sql stable
begin atomic
  select distinct on (r.unit_id, r.observed_at, r.interval_s) r.*
  from (
    select
      b.unit_id, b.observed_at, b.interval_s, b.revision, b.inflow_wh, b.outflow_wh, b.loss_wh, b.members_loss_wh,
      b.uncontracted_wh, b.sigma_wh, b.coverage, b.computable, b.generation_wh, b.estimated_wh, b.technical_wh,
      b.averaging_wh, b.technical_sigma_wh, b.members_technical_wh, b.systematic_sigma_wh, b.ends_sigma_wh,
      b.total_sigma_wh, b.total_systematic_sigma_wh, b.export_sigma_wh, b.gap_sigma_wh, b.class, b.reasons,
      b.status, b.published_at
    from loss.balance b
    where b.published_at <= at
    union all
    select
      s.unit_id, s.observed_at, s.interval_s, s.revision, s.inflow_wh, s.outflow_wh, s.loss_wh, s.members_loss_wh,
      s.uncontracted_wh, s.sigma_wh, s.coverage, s.computable, s.generation_wh, s.estimated_wh, s.technical_wh,
      s.averaging_wh, s.technical_sigma_wh, s.members_technical_wh, s.systematic_sigma_wh, s.ends_sigma_wh,
      s.total_sigma_wh, s.total_systematic_sigma_wh, s.export_sigma_wh, s.gap_sigma_wh, s.class, s.reasons,
      s.status, s.published_at
    from loss.superseded s
    where s.published_at <= at
  ) r
  order by r.unit_id, r.observed_at, r.interval_s, r.revision desc;
end;
