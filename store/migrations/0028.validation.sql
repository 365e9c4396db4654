-- depends: 0022.sync
-- What validation rules found doubtful in a unit's local day. Nothing that was measured is changed by it.
create table telemetry.validated_day (
  unit_id integer not null,
  day date not null,
  as_of timestamptz not null,
  sums_wh bigint[] not null,
  primary key (unit_id, day)
);
comment on table telemetry.validated_day is 'Local days that the rules have looked at';
comment on column telemetry.validated_day.as_of is 'What was known by then was looked at: the final limit of the day''s last interval';
comment on column telemetry.validated_day.sums_wh is 'By position: energy of the day, the least bigint where an interval wasn''t measured';

create table telemetry.doubt (
  unit_id integer not null,
  day date not null,
  position integer not null,
  rule text not null check (rule in ('spike', 'zero_run', 'flat_run', 'multiplier')),
  begins_at timestamptz not null,
  ends_at timestamptz not null,
  value_wh bigint not null,
  limit_wh bigint not null,
  as_of timestamptz not null,
  primary key (unit_id, day, position, rule, begins_at),
  check (begins_at < ends_at)
);
comment on column telemetry.doubt.begins_at is 'Intervals that end after begins_at, up to ends_at, are doubted as they were known at as_of';
comment on column telemetry.doubt.value_wh is 'spike: the energy; runs: the energy of each interval; multiplier: mean of the days after';
comment on column telemetry.doubt.limit_wh is 'spike: what it is above; multiplier: mean of the days before; runs: 0';
create index doubt_ends on telemetry.doubt (ends_at);

-- For boards: how many, of nobody in particular.
create view telemetry.doubt_count as
select unit_id, day, rule, count(*) as doubts, count(distinct position) as members
from telemetry.doubt
group by unit_id, day, rule;

do $$
begin
  if exists (select from pg_roles where rolname = 'meterline_board') then
    grant select on telemetry.doubt_count to meterline_board;
  end if;
  if exists (select from pg_roles where rolname = 'meterline_app') then
    grant select, insert, update, delete on telemetry.validated_day, telemetry.doubt to meterline_app;
    grant select on telemetry.doubt_count to meterline_app;
  end if;
end
$$;
