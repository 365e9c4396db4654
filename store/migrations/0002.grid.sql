-- depends: 0001.schemas
-- The unified grid model. Relations carry the period in which they hold (valid) and the period in which they
-- were believed (recorded); a period that is still open ends at infinity.

create table grid.substation (
  code text primary key,
  name text not null,
  high_voltage_v integer not null,
  medium_voltage_v integer not null
);

create table grid.unit (
  unit_id integer generated always as identity primary key,
  code text not null unique,
  kind text not null check (kind in ('area', 'dedicated', 'feeder')),
  name text not null,
  substation text references grid.substation (code),
  gateway text,
  rating_va integer,
  no_load_loss_w double precision,
  load_loss_w double precision,
  longitude_deg double precision,
  latitude_deg double precision
);
comment on column grid.unit.gateway is 'Account that may send for the unit';

create table grid.account (
  code text primary key,
  tariff_class text not null,
  contract_w integer not null check (contract_w >= 0),
  status text not null check (status in ('active', 'closed'))
);

create table grid.meter (
  code text primary key,
  accuracy_class real not null,
  account text references grid.account (code)
);

-- The roster of a unit: a member keeps its position for the unit's life, and validity in time is a mask.
-- A member is a meter or, in a unit above the areas, a smaller unit.
create table grid.member (
  unit_id integer not null references grid.unit (unit_id),
  position integer not null check (position >= 0 and position < 4096),
  meter text references grid.meter (code),
  child_id integer references grid.unit (unit_id),
  role smallint not null,
  multiplier integer not null default 1 check (multiplier > 0),
  valid tstzrange not null,
  recorded tstzrange not null default tstzrange(now(), null),
  primary key (unit_id, position, valid, recorded),
  check (num_nonnulls(meter, child_id) = 1),
  -- The id as a range: a gist exclusion without the btree_gist extension.
  constraint member_one_at_a_time exclude using gist (
    int4range(unit_id, unit_id, '[]') with &&,
    int4range(position, position, '[]') with &&,
    valid with &&,
    recorded with &&
  )
);
create index member_meter on grid.member (meter) where meter is not null;
create index member_child on grid.member (child_id) where child_id is not null;

-- What goes out on topic grid.change, in commit order: rows are read up to the oldest running transaction.
create table grid.outbox (
  id bigint generated always as identity primary key,
  transaction_id xid8 not null default pg_current_xact_id(),
  aggregatetype text not null,
  aggregateid text not null,
  type text not null,
  payload jsonb not null,
  recorded_at timestamptz not null default now()
);
create index outbox_order on grid.outbox (transaction_id, id);
