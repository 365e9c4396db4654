-- depends: 0038.told_figures
-- Outages as they came back step by step; what a measurement rests on, so that it is repeated only when that is another;
-- updates of the ledger with what they found beside it.

-- Each change of how many are without supply: the finding keeps the last figure alone.
create table benefit.outage_step (
  step_id bigint generated always as identity primary key,
  finding_id bigint not null,
  at timestamptz not null,
  customers integer not null check (customers >= 0)
);
create index outage_step_finding on benefit.outage_step (finding_id, step_id);
comment on table benefit.outage_step is 'How many customers an outage left without supply from an instant on';
comment on column benefit.outage.customers is 'Meters of customers that were interrupted; in those without steps, that were without supply when last seen';

create function benefit.note_outage() returns trigger
language plpgsql as $$
begin
  insert into benefit.outage_step (finding_id, at, customers)
  values (
    new.finding_id, case when tg_op = 'INSERT' then new.begin_at else new.seen_at end,
    greatest(coalesce((new.figures ->> 'meters')::integer, 0), 0)
  );
  return null;
end
$$;
create trigger note_outage_begun after insert on alerts.finding
for each row when (new.kind = 'outage') execute function benefit.note_outage();
create trigger note_outage_changed after update on alerts.finding
for each row when (
  new.kind = 'outage' and new.ended_at is null and (new.figures ->> 'meters') is distinct from (old.figures ->> 'meters')
) execute function benefit.note_outage();
insert into benefit.outage_step (finding_id, at, customers)
select finding_id, begin_at, greatest(coalesce((figures ->> 'meters')::integer, 0), 0)
from alerts.finding where kind = 'outage' and ended_at is null
order by finding_id;

-- Not part of the ledger: it may be emptied at any time, and what it says is measured again then.
create table benefit.measured (
  key text primary key,
  inputs bytea not null,
  effect_id bigint references benefit.effect (effect_id),
  why text,
  check ((effect_id is null) <> (why is null))
);
comment on table benefit.measured is 'What the newest measurement of a repair came to';
comment on column benefit.measured.inputs is 'Hash of method, windows, units that were barred, and the days of all units of the kind as they stood';
comment on column benefit.measured.why is 'Why nothing can be said';

create table benefit.run (
  run_id bigint generated always as identity primary key,
  at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp(),
  sources integer not null,
  written integer not null,
  measured integer not null,
  waiting integer not null,
  advice jsonb not null,
  social jsonb not null
);
create index run_recorded on benefit.run (recorded_at);
comment on table benefit.run is 'Updates of the ledger that came to their end';
comment on column benefit.run.at is 'What was done up to then is entered';
comment on column benefit.run.advice is 'What to do about the flow of the work, as then known: the greatest gains first';
comment on column benefit.run.social is 'Social figures of the 365 days before, as then known';

do $$
declare
  name text;
begin
  foreach name in array array['outage_step', 'run'] loop
    execute format(
      'create trigger keep before update or delete or truncate on benefit.%I for each statement execute function benefit.keep()',
      name
    );
  end loop;
  if exists (select from pg_roles where rolname = 'meterline_app') then
    revoke all on benefit.outage_step, benefit.measured, benefit.run from meterline_app;
    grant select, insert on benefit.outage_step, benefit.run to meterline_app;
    grant select, insert, update, delete on benefit.measured to meterline_app;
    grant usage on all sequences in schema benefit to meterline_app;
  end if;
  foreach name in array array['meterline_board', 'meterline_revenue'] loop
    if exists (select from pg_roles where rolname = name) then
      execute format('grant select on benefit.run to %I', name);
    end if;
  end loop;
end
$$;
