-- depends: 0030.board_drift
-- What it brought. Nothing here is ever changed: what is found otherwise later is another version.
create schema benefit;
comment on schema benefit is 'The ledger of benefits, the effects that it rests on, and the parameters they are valued by';

create function benefit.keep() returns trigger
language plpgsql as $$
begin
  raise exception 'a ledger is never changed: record another version';
end
$$;

-- Parameters: prices, factors, costs, assumptions; those count that somebody else approved last.
create table benefit.parameters (
  parameters_id bigint generated always as identity primary key,
  hash bytea not null unique,
  body jsonb not null,
  reason text not null check (reason <> ''),
  recorded_at timestamptz not null default clock_timestamp(),
  recorded_by text not null check (recorded_by <> '')
);
comment on column benefit.parameters.hash is 'BLAKE2b of the parameters in their canonical form';
create table benefit.approval (
  approval_id bigint generated always as identity primary key,
  parameters_id bigint not null references benefit.parameters (parameters_id),
  approved_at timestamptz not null default clock_timestamp(),
  approved_by text not null check (approved_by <> '')
);
create function benefit.approve() returns trigger
language plpgsql as $$
begin
  if new.approved_by = (select recorded_by from benefit.parameters where parameters_id = new.parameters_id) then
    raise check_violation using message = 'who recorded parameters doesn''t approve them';
  end if;
  return new;
end
$$;
create trigger four_eyes before insert on benefit.approval for each row execute function benefit.approve();

-- Whether something that was done changed the loss of one or more units, and by how much.
create table benefit.effect (
  effect_id bigint generated always as identity primary key,
  key text not null,
  version integer not null check (version > 0),
  units integer[] not null check (cardinality(units) between 1 and 64),
  method text not null,
  first_day date not null,
  repaired_from date not null,
  repaired_to date not null,
  last_day date not null,
  recovered_wh bigint not null,
  low_wh bigint not null,
  high_wh bigint not null,
  sigma_wh bigint not null check (sigma_wh >= 0),
  before_after_wh bigint not null,
  placebo_rank double precision not null check (placebo_rank between 0 and 1),
  shown boolean not null,
  days_before integer not null check (days_before > 0),
  days_after integer not null check (days_after > 0),
  controls integer not null check (controls > 0),
  evidence jsonb not null check (evidence <> '{}'),
  digest bytea not null,
  recorded_at timestamptz not null default clock_timestamp(),
  unique (key, version),
  check (low_wh <= recovered_wh and recovered_wh <= high_wh),
  check (first_day < repaired_from and repaired_from <= repaired_to and repaired_to < last_day)
);
comment on column benefit.effect.key is 'Units and days of what was done; versions of one key are of the same question';
comment on column benefit.effect.recovered_wh is 'Not lost over the days after, against control units; positive = less was lost';
comment on column benefit.effect.before_after_wh is 'Simple comparison of the days before and after, which takes season and weather for an effect';
comment on column benefit.effect.placebo_rank is 'Share of the units, the treated one among them, with a result at least as large where nothing was done';
comment on column benefit.effect.shown is 'False: no effect can be shown';
comment on column benefit.effect.evidence is 'Of each unit the days, with the revision of each and a hash of the figures; the seed';

create table benefit.entry (
  entry_id bigint generated always as identity primary key,
  source text not null check (source in ('work_order', 'proposal', 'conflict', 'outage')),
  source_id bigint not null,
  item text not null check (item in ('recovered', 'loss_avoided', 'visits', 'outage')),
  version integer not null check (version > 0),
  withdrawn boolean not null default false,
  kind text not null,
  unit_id integer references grid.unit (unit_id),
  organisation text,
  done_at timestamptz not null,
  energy_wh bigint not null,
  sigma_wh bigint not null check (sigma_wh >= 0),
  shown boolean not null,
  money_cents bigint not null,
  visits_milli bigint not null,
  work_s bigint not null,
  outage_customer_s bigint not null,
  co2_g bigint not null,
  basis text not null check (basis in ('measured', 'estimate')),
  method text not null,
  parameters_id bigint not null references benefit.parameters (parameters_id),
  effect_id bigint references benefit.effect (effect_id),
  evidence jsonb not null check (evidence <> '{}'),
  digest bytea not null,
  reason text not null,
  recorded_at timestamptz not null default clock_timestamp(),
  unique (source, source_id, item, version),
  check ((item = 'loss_avoided') = (effect_id is not null))
);
create index entry_done on benefit.entry (done_at);
comment on column benefit.entry.source_id is 'Number of the work order, proposal, conflict or finding';
comment on column benefit.entry.withdrawn is 'What it rested on was taken back: it counts no more';
comment on column benefit.entry.energy_wh is 'Billed after all, or not lost any more; 0 where no effect can be shown';
comment on column benefit.entry.visits_milli is 'Thousandths of a field visit that was avoided';
comment on column benefit.entry.outage_customer_s is 'Seconds without supply avoided, times customers; negative where it took longer';
comment on column benefit.entry.reason is 'Why this version: new, restated (the data), parameters, source, withdrawn';

create view benefit.ledger as
select * from (
  select distinct on (source, source_id, item) * from benefit.entry order by source, source_id, item, version desc
) newest
where not withdrawn;
comment on view benefit.ledger is 'Entries as they stand';

-- Ended outages, since findings go when they are old.
create table benefit.outage (
  finding_id bigint primary key,
  unit_id integer not null references grid.unit (unit_id),
  begin_at timestamptz not null,
  ended_at timestamptz not null check (ended_at >= begin_at),
  customers integer not null check (customers >= 0),
  planned boolean not null,
  recorded_at timestamptz not null default clock_timestamp()
);
create index outage_begin on benefit.outage (begin_at);
comment on column benefit.outage.customers is 'Meters of customers without supply when it was last seen';
comment on column benefit.outage.planned is 'Within a maintenance window of its unit';

do $$
declare
  name text;
begin
  foreach name in array array['parameters', 'approval', 'effect', 'entry', 'outage'] loop
    execute format(
      'create trigger keep before update or delete or truncate on benefit.%I for each statement execute function benefit.keep()',
      name
    );
  end loop;
  if exists (select from pg_roles where rolname = 'meterline_app') then
    grant usage on schema benefit to meterline_app;
    revoke all on all tables in schema benefit from meterline_app;
    grant select, insert on all tables in schema benefit to meterline_app;
    grant usage on all sequences in schema benefit to meterline_app;
  end if;
  foreach name in array array['meterline_board', 'meterline_revenue'] loop
    if exists (select from pg_roles where rolname = name) then
      execute format('grant usage on schema benefit to %I', name);
      -- Evidence stays inside.
      execute format(
        'grant select (effect_id, key, version, method, first_day, repaired_from, repaired_to, last_day, recovered_wh, '
        'low_wh, high_wh, sigma_wh, before_after_wh, placebo_rank, shown, days_before, days_after, controls) '
        'on benefit.effect to %I', name
      );
      execute format('grant select on benefit.outage to %I', name);
    end if;
  end loop;
end
$$;

-- For boards: what each entry comes to, without what it rests on.
create view benefit.figure as
select
  l.source, l.source_id, l.item, l.version, l.kind, u.code as unit, l.organisation, l.done_at, l.energy_wh, l.sigma_wh,
  l.shown, l.money_cents, l.visits_milli, l.work_s, l.outage_customer_s, l.co2_g, l.basis, l.effect_id,
  e.before_after_wh, e.low_wh, e.high_wh
from benefit.ledger l
left join grid.unit u using (unit_id)
left join benefit.effect e using (effect_id);
do $$
declare
  name text;
begin
  foreach name in array array['meterline_app', 'meterline_board', 'meterline_revenue'] loop
    if exists (select from pg_roles where rolname = name) then
      execute format('grant select on benefit.figure to %I', name);
    end if;
  end loop;
end
$$;
