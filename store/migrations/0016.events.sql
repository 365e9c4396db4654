-- depends: 0015.networks
-- Device events: last gasps, opened covers and the like, a row each. A repeat changes nothing.
create table telemetry.event (
  unit_id integer not null,
  meter text not null,
  observed_at timestamptz not null,
  kind text not null check (
    kind in (
      'last_gasp', 'power_restored', 'cover_open', 'cover_closed', 'magnetic_field', 'phase_missing', 'reverse_energy',
      'clock_fault'
    )
  ),
  sequence bigint not null,
  received_at timestamptz not null,
  primary key (unit_id, meter, observed_at, kind)
);
comment on column telemetry.event.unit_id is 'Unit that its gateway sent it for';
comment on column telemetry.event.meter is 'Asset number; a member of the unit at the time';
comment on column telemetry.event.observed_at is 'When it happened, by the clock of the meter or of its gateway';
comment on column telemetry.event.received_at is 'When it was first received; sequence is the number of that message';
create index event_observed on telemetry.event (observed_at desc, kind);

do $$
begin
  if exists (select from pg_extension where extname = 'timescaledb') then
    perform create_hypertable('telemetry.event', 'observed_at', chunk_time_interval => interval '7 days', create_default_indexes => false);
  end if;
end
$$;
