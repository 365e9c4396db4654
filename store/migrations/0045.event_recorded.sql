-- depends: 0044.alert_told
-- When an event was stored: last gasps that come late are found by it.

alter table telemetry.event add column recorded_at timestamptz not null default now();
comment on column telemetry.event.recorded_at is 'When it was stored; of what was before migration 0045, when that ran';
create index event_gasp_recorded on telemetry.event (recorded_at) where kind = 'last_gasp';
