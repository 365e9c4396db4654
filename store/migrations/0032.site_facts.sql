-- depends: 0031.benefit
-- Facts of sites: what a channel to the centre was measured to be, and the acceptance of what is installed. And which
-- reports were owed to the channels of alerts. Nothing is changed or removed here either.

create table rollout.channel_probe (
  probe_id bigint generated always as identity primary key,
  unit text not null references grid.organisation (code),
  gateway text not null,
  measured_at timestamptz not null,
  sent integer not null check (sent > 0),
  returned integer not null check (returned between 0 and sent),
  delay_s double precision check (delay_s >= 0),
  delay_high_s double precision check (delay_high_s >= delay_s),
  jitter_s double precision check (jitter_s >= 0),
  bytes_per_s double precision check (bytes_per_s >= 0),
  clock_offset_s double precision,
  clock_error_s double precision check (clock_error_s >= 0),
  meters integer not null check (meters >= 0),
  blocks integer not null check (blocks >= 0),
  interval_s integer not null check (interval_s > 0),
  needed jsonb not null,
  shortfalls text[] not null,
  at timestamptz not null,
  actor text not null,
  check ((delay_s is null) = (returned = 0)),
  check ((clock_offset_s is null) = (clock_error_s is null))
);
create index channel_probe_of on rollout.channel_probe (unit, gateway, probe_id);
create index channel_probe_at on rollout.channel_probe (at);
comment on column rollout.channel_probe.measured_at is 'By the site''s own clock';
comment on column rollout.channel_probe.delay_s is 'Median round trip to the broker; NULL: nothing came back';
comment on column rollout.channel_probe.delay_high_s is 'Its 95th percentile';
comment on column rollout.channel_probe.jitter_s is 'Mean difference between one round trip and the next';
comment on column rollout.channel_probe.bytes_per_s is 'Acknowledged by the broker; NULL: not measured';
comment on column rollout.channel_probe.clock_offset_s is 'Site''s clock less the centre''s, known to within clock_error_s; NULL: not measured';
comment on column rollout.channel_probe.blocks is 'Messages that the site sends an interval';
comment on column rollout.channel_probe.needed is 'Limits by which it was judged';
comment on column rollout.channel_probe.shortfalls is 'Which of them it didn''t keep; empty: good';

-- Each channel as it was last measured before an instant; what is older than a week tells nothing any more.
create function rollout.channels_at(at timestamptz) returns setof rollout.channel_probe
language sql stable
begin atomic
  select distinct on (p.unit, p.gateway) p.* from rollout.channel_probe p
  where p.at <= channels_at.at and p.at > channels_at.at - interval '7 days'
  order by p.unit, p.gateway, p.probe_id desc;
end;

create table rollout.acceptance (
  acceptance_id bigint generated always as identity primary key,
  site text not null references grid.organisation (code),
  examined_at timestamptz not null,
  passed boolean not null,
  report text not null check (octet_length(report) <= 1048576),
  signature text not null,
  key_id text not null,
  at timestamptz not null,
  actor text not null,
  unique (site, signature)
);
comment on column rollout.acceptance.report is 'As it was signed, byte for byte';
comment on column rollout.acceptance.signature is 'Ed25519 over the report, base64';
comment on column rollout.acceptance.key_id is 'SHA-256 of the public key that has proved it, hexadecimal';

create table rollout.report_sent (
  span text not null check (span in ('daily', 'weekly', 'monthly')),
  level text not null check (level in ('unit', 'working', 'leading')),
  unit text not null,
  until_at timestamptz not null,
  target text not null,
  at timestamptz not null,
  primary key (span, level, unit, until_at, target)
);
comment on table rollout.report_sent is 'Reports owed to a target of alerts, in the transaction that owed them: so each once';
comment on column rollout.report_sent.unit is 'Empty: the whole';

do $$
declare
  t regclass;
begin
  foreach t in array array['rollout.channel_probe', 'rollout.acceptance', 'rollout.report_sent']::regclass[] loop
    execute format('create trigger keep before update or delete or truncate on %s for each statement execute function rollout.keep()', t);
    if exists (select from pg_roles where rolname = 'meterline_app') then
      execute format('revoke all on %s from meterline_app', t);
      execute format('grant select, insert on %s to meterline_app', t);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'meterline_app') then
    grant usage, select on all sequences in schema rollout to meterline_app;
  end if;
end
$$;
