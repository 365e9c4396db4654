-- depends: 0012.results
-- Local days and months of units, with every published revision of them; thresholds of loss rates.

create table loss.threshold (
  threshold_id bigint generated always as identity primary key,
  unit_kind text not null check (unit_kind in ('area', 'dedicated', 'feeder', 'region', 'voltage_level', 'element')),
  medium_voltage_v integer check (medium_voltage_v > 0),
  low_rate double precision not null check (low_rate >= -1),
  high_rate double precision not null check (high_rate <= 1),
  min_inflow_wh_per_h double precision not null check (min_inflow_wh_per_h >= 0 and min_inflow_wh_per_h < 'Infinity'),
  valid_from timestamptz not null,
  recorded_at timestamptz not null default now(),
  recorded_by text not null,
  reason text not null,
  check (low_rate < high_rate)
);
comment on table loss.threshold is 'Only added to: of what is valid the latest stands, of those valid from one instant the one recorded last';
comment on column loss.threshold.medium_voltage_v is 'Of units whose substation has it; NULL: of all others';
create function loss.keep_threshold() returns trigger
language plpgsql as $$
begin
  raise exception 'a threshold is never changed: record another';
end
$$;
create trigger keep before update or delete on loss.threshold for each statement execute function loss.keep_threshold();

create table loss.period_revision (
  unit_id integer not null references grid.unit (unit_id),
  period text not null check (period in ('day', 'month')),
  first_day date not null,
  revision integer not null,
  begins_at timestamptz not null,
  ends_at timestamptz not null,
  expected_s integer not null,
  covered_s bigint not null,
  intervals bigint not null,
  from_at timestamptz,
  to_at timestamptz,
  inflow_wh bigint not null,
  outflow_wh bigint not null,
  loss_wh bigint not null,
  members_loss_wh bigint not null,
  uncontracted_wh bigint not null,
  generation_wh bigint not null,
  estimated_wh bigint not null,
  technical_wh double precision,
  averaging_wh double precision,
  technical_sigma_wh double precision,
  sigma_wh double precision not null,
  systematic_sigma_wh double precision not null,
  ends_sigma_wh double precision not null,
  opening_sigma_wh double precision not null,
  closing_sigma_wh double precision not null,
  computable boolean not null,
  class text not null check (class in ('not_computable', 'normal', 'high', 'negative')),
  reasons integer not null,
  status text not null check (status in ('provisional', 'final', 'restated')),
  published_at timestamptz,
  until_at timestamptz,
  due_at timestamptz,
  recorded_at timestamptz not null default now(),
  primary key (unit_id, period, first_day, revision)
) with (fillfactor = 80);
create index period_first_day on loss.period_revision (period, first_day, unit_id) where until_at is null;
create index period_due on loss.period_revision (due_at) where due_at is not null;
comment on column loss.period_revision.revision is 'Number of the publication; 0: sums so far of a period that is not published';
comment on column loss.period_revision.covered_s is 'Seconds of the period that the sums are over, of expected_s';
comment on column loss.period_revision.until_at is 'When the next revision took its place; NULL: it stands';
comment on column loss.period_revision.opening_sigma_wh is 'Part of ends_sigma_wh that a period just before would give back';
comment on column loss.period_revision.closing_sigma_wh is 'Part of ends_sigma_wh that a period just after would give back';

create view loss.period as
select
  unit_id, period, first_day, revision, begins_at, ends_at, expected_s, covered_s, intervals, from_at, to_at,
  inflow_wh, outflow_wh, loss_wh, members_loss_wh, uncontracted_wh, generation_wh, estimated_wh,
  (estimated_wh / nullif(inflow_wh + outflow_wh, 0)::float8) as estimated_share,
  technical_wh, averaging_wh, technical_sigma_wh, sigma_wh, systematic_sigma_wh, ends_sigma_wh,
  computable, class, reasons, status, published_at, due_at, recorded_at
from loss.period_revision
where until_at is null;

create function loss.periods_as_published(at timestamptz) returns setof loss.period_revision
language sql stable
begin atomic
  select * from loss.period_revision r
  where r.revision > 0 and r.published_at <= at and (r.until_at is null or r.until_at > at);
end;

create table loss.period_progress (
  one boolean primary key default true check (one),
  through timestamptz not null
);
comment on column loss.period_progress.through is 'Interval rows that were recorded up to this are in the periods';
insert into loss.period_progress (through) values ('1970-01-01 00:00:00+00');
create index balance_recorded on loss.balance (recorded_at);

do $$
begin
  if exists (select from pg_roles where rolname = 'meterline_board') then
    grant select on loss.period, loss.period_revision, loss.threshold to meterline_board;
  end if;
  if exists (select from pg_roles where rolname = 'meterline_app') then
    grant select, insert, update, delete on loss.period_revision to meterline_app;
    grant select, update on loss.period_progress to meterline_app;
    grant select, insert on loss.threshold to meterline_app;
    grant select on loss.period to meterline_app;
  end if;
end
$$;
