-- depends: 0022.sync
-- Targets that hold a copy of the model: what is owed to them in order of each entity, what was read back, and since
-- when they disagree.

-- What is owed isn't always a change of the model: a day's loss, a finding or a work order can be too.
alter table sync.delivery
  alter column outbox_id drop not null,
  add column entity text,
  add column sequence bigint,
  add column to_read boolean not null default false,
  add column read_at timestamptz;
update sync.delivery d
set entity = c.aggregatetype || ':' || c.aggregateid, sequence = c.id
from grid.outbox c
where c.id = d.outbox_id;
alter table sync.delivery alter column entity set not null, alter column sequence set not null;
create index delivery_in_order on sync.delivery (target, entity, sequence) where delivered_at is null;
create index delivery_to_read on sync.delivery (target, delivered_at) where to_read and delivered_at is not null;
comment on column sync.delivery.entity is 'Deliveries of one entity to one target go out in order of sequence';
comment on column sync.delivery.read_at is 'When the target was read back after it';
comment on column sync.delivery.to_read is 'The target is to be read back once this has been delivered';

create table sync.target_state (
  target text not null,
  kind text not null,
  code text not null,
  expected bytea,
  seen bytea,
  checked_at timestamptz not null,
  since timestamptz,
  primary key (target, kind, code),
  check ((since is null) = (expected is not distinct from seen))
);
create index target_state_drift on sync.target_state (target, since) where since is not null;
comment on column sync.target_state.expected is 'Digest of what the target should hold; NULL: nothing';
comment on column sync.target_state.seen is 'Digest of what was read from it; NULL: nothing is there';
comment on column sync.target_state.since is 'Since when it is known to disagree; NULL: it agrees';

-- A disagreement that is over.
create table sync.drift (
  target text not null,
  kind text not null,
  code text not null,
  since timestamptz not null,
  until timestamptz not null,
  primary key (target, kind, code, since)
);
create index drift_until on sync.drift (target, until);

-- How far results were owed to a target that subscribes to them.
create table sync.feed (
  target text not null,
  subject text not null check (subject in ('loss', 'findings', 'work_orders')),
  at timestamptz not null,
  number bigint not null,
  primary key (target, subject)
);
