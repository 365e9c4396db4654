-- depends: 0003.telemetry
create table alerts.alert (
  alert_id bigint generated always as identity primary key,
  fingerprint text not null,
  kind text not null,
  severity text not null,
  unit_id integer not null references grid.unit (unit_id),
  state text not null default 'open' check (state in ('open', 'acknowledged', 'in_progress', 'resolved', 'closed', 'suppressed')),
  opened_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  evidence jsonb not null
);
-- One alert a condition while it lasts.
create unique index alert_open on alerts.alert (fingerprint) where state not in ('resolved', 'closed');

-- Deliveries that are owed: of alerts and of changes of the grid model, each once by its id.
create table alerts.delivery (
  delivery_id uuid primary key,
  alert_id bigint not null references alerts.alert (alert_id),
  target text not null,
  payload jsonb not null,
  created_at timestamptz not null default now(),
  due_at timestamptz not null default now(),
  attempts integer not null default 0,
  last_error text,
  delivered_at timestamptz
);
create index delivery_due on alerts.delivery (due_at) where delivered_at is null;

create table sync.delivery (
  delivery_id uuid primary key,
  outbox_id bigint not null references grid.outbox (id),
  target text not null,
  payload jsonb not null,
  created_at timestamptz not null default now(),
  due_at timestamptz not null default now(),
  attempts integer not null default 0,
  last_error text,
  delivered_at timestamptz,
  unique (target, outbox_id)
);
create index sync_delivery_due on sync.delivery (due_at) where delivered_at is null;

-- How far the relay has sent the outbox to Kafka.
create table sync.relay (
  topic text primary key,
  transaction_id xid8 not null,
  outbox_id bigint not null
);

do $$
begin
  if exists (select from pg_roles where rolname = 'meterline_board') then
    grant select on grid.substation, grid.unit, grid.member, loss.balance, alerts.alert to meterline_board;
    -- Freshness and health only: no series of a single customer.
    grant select (unit_id, observed_at, interval_s, received_at, recorded_at, version) on telemetry.block to meterline_board;
    grant select (id, reason, quarantined, topic, original_size, first_at, seen, replayed_at) on telemetry.rejected to meterline_board;
  end if;
end
$$;
