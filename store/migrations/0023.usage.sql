-- depends: 0022.sync
-- Abnormal usage: the state of each area's meters, what was concluded of them a day, and the findings.
create schema usage;
comment on schema usage is 'Findings about customers'' use: for revenue protection; boards of operation have no access';

do $$
begin
  if exists (select from pg_roles where rolname = 'meterline_app') then
    grant usage on schema usage to meterline_app;
    alter default privileges in schema usage grant select, insert, update, delete on tables to meterline_app;
    alter default privileges in schema usage grant usage on sequences to meterline_app;
  end if;
end
$$;

create table usage.progress (
  one boolean primary key default true check (one),
  through timestamptz not null,
  live_through timestamptz not null
);
comment on column usage.progress.through is 'Interval rows that were recorded up to this have been looked at by the daily job';
comment on column usage.progress.live_through is 'The same of the live rules';
insert into usage.progress (through, live_through) values ('1970-01-01 00:00:00+00', '1970-01-01 00:00:00+00');

create table usage.area (
  unit_id integer primary key references grid.unit (unit_id),
  first_day date not null,
  through date,
  check (through >= first_day)
);
create index area_through on usage.area (through nulls first);
comment on column usage.area.first_day is 'Local day with which its states begin';
comment on column usage.area.through is 'Last local day that was folded; NULL: none';

-- The newest state of each area, and one at the end of each month, from which late data are folded again.
create table usage.state (
  unit_id integer not null references usage.area (unit_id),
  day date not null,
  version smallint not null,
  state bytea not null,
  primary key (unit_id, day)
);
comment on column usage.state.state is 'Arrays of kernels.usage.UsageState: 254 bytes a position of the roster';

create table usage.area_day (
  unit_id integer not null references usage.area (unit_id),
  day date not null,
  digest bytea not null,
  chain bytea not null,
  readings integer not null,
  supply_wh bigint not null,
  loss_wh bigint not null,
  unexplained_wh double precision,
  sigma_wh double precision not null,
  abnormal boolean not null,
  primary key (unit_id, day)
);
comment on column usage.area_day.digest is 'BLAKE2b of the day''s series as they were folded';
comment on column usage.area_day.chain is 'BLAKE2b of the chain of the day before and this day''s digest: names all series that a state rests on';
comment on column usage.area_day.unexplained_wh is 'Loss less technical loss; NULL: not known of most of the day';
comment on column usage.area_day.abnormal is 'The unexplained loss of three days lies beyond its band and the limit';

-- What was concluded of a meter a day; only what is worth saying.
create table usage.conclusion (
  unit_id integer not null references usage.area (unit_id),
  day date not null,
  meter text not null,
  kind text not null,
  confidence real not null check (confidence between 0 and 1),
  begin_day date not null,
  expected_wh bigint not null check (expected_wh >= 0),
  tariff_class text,
  reasons text[] not null,
  evidence jsonb not null,
  primary key (unit_id, day, meter)
);

create table usage.finding (
  finding_id bigint generated always as identity primary key,
  unit_id integer not null references grid.unit (unit_id),
  meter text,
  kind text not null,
  source text not null check (source in ('daily', 'live', 'event')),
  confidence real not null check (confidence between 0 and 1),
  begin_at timestamptz not null,
  opened_at timestamptz not null,
  seen_at timestamptz not null,
  ended_at timestamptz,
  expected_wh bigint not null check (expected_wh >= 0),
  expected_money double precision,
  reasons text[] not null,
  evidence jsonb not null,
  alert_finding_id bigint
);
create index finding_unit on usage.finding (unit_id, opened_at);
create index finding_meter on usage.finding (meter) where meter is not null;
create unique index finding_live on usage.finding (unit_id, kind, meter) nulls not distinct
  where ended_at is null and source <> 'daily';
create index finding_open on usage.finding (expected_wh desc) where ended_at is null;
comment on column usage.finding.meter is 'NULL: of the whole area';
comment on column usage.finding.source is 'daily: from conclusions of days; live: from a rule on intervals; event: from what meters reported';
comment on column usage.finding.begin_at is 'Since when, as the evidence says';
comment on column usage.finding.opened_at is 'When it was first said, by the time of the data';
comment on column usage.finding.expected_wh is 'Energy to be recovered over 28 days if it is right';
comment on column usage.finding.alert_finding_id is 'Of alerts.finding, which has the alert, its work order and the result; NULL: alerts was not told';

-- Results of checks of findings that alerts was not told of; all others are with their alert.
create table usage.field_check (
  finding_id bigint primary key references usage.finding (finding_id),
  result text not null check (result in ('confirmed', 'refuted', 'not_found')),
  checked_at timestamptz not null,
  checked_by text not null,
  note text not null
);

create view usage.field_result as
select
  f.finding_id, coalesce(c.result, a.result) as result,
  case when c.result is null then coalesce(t.resolved_at, a.seen_at) else c.checked_at end as checked_at
from usage.finding f
left join usage.field_check c using (finding_id)
left join alerts.finding a on a.finding_id = f.alert_finding_id
left join alerts.alert t on t.alert_id = a.alert_id
where coalesce(c.result, a.result) is not null;
comment on view usage.field_result is 'What field checks said of findings, wherever it was recorded';

create table usage.live_state (
  unit_id integer primary key references grid.unit (unit_id),
  through timestamptz not null,
  version smallint not null,
  state bytea not null
);
comment on column usage.live_state.through is 'End of the newest interval that the rules have judged';

do $$
begin
  execute 'alter table usage.state alter column state set storage external';
  if exists (select from pg_roles where rolname = 'meterline_app') then
    revoke insert, update, delete on usage.field_result from meterline_app;
    revoke delete on usage.finding, usage.field_check from meterline_app;
  end if;
  if exists (select from pg_roles where rolname = 'meterline_revenue') then
    grant usage on schema usage to meterline_revenue;
    grant select on usage.finding, usage.field_check, usage.field_result, usage.area, usage.area_day
      to meterline_revenue;
  end if;
end
$$;
