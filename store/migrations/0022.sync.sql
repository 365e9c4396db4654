-- depends: 0021.statistics
-- What the source systems said, which entity each of their records is, what contradicts, and what is proposed about it.

-- A file, table or topic as it was taken.
create table sync.take (
  take_id bigint generated always as identity primary key,
  system text not null,
  origin text not null,
  origin_hash bytea,
  mode text not null check (mode in ('full', 'changes')),
  taken_at timestamptz not null default now(),
  records integer not null default 0,
  added integer not null default 0,
  changed integer not null default 0,
  removed integer not null default 0,
  refused integer not null default 0
);
create index take_system on sync.take (system, taken_at desc);
comment on column sync.take.mode is 'full: what is not in it has gone from the source; changes: the rest stays';

-- Lines that a take left out, where it was configured to take the others.
create table sync.refused (
  take_id bigint not null references sync.take (take_id),
  line integer not null,
  column_number integer,
  reason text not null,
  original text not null,
  primary key (take_id, line)
);

-- Records as received. A row is never overwritten: a change ends its recorded period and adds the next.
create table sync.record (
  record_id bigint generated always as identity primary key,
  system text not null,
  dataset text not null,
  key text not null,
  body jsonb not null,
  hash bytea not null,
  valid tstzrange not null check (not isempty(valid)),
  recorded tstzrange not null check (not isempty(recorded)),
  take_id bigint not null references sync.take (take_id)
);
create unique index record_current on sync.record (system, dataset, key) where upper_inf(recorded);
create index record_history on sync.record (system, dataset, key);
comment on column sync.record.hash is 'BLAKE2b of the whole record as received, what is withheld from body included';

-- What there is, whatever it is called where.
create table sync.entity (
  entity_id bigint primary key,
  kind text not null,
  code text
);
create sequence sync.entity_number as bigint;
create unique index entity_code on sync.entity (kind, code) where code is not null;
comment on column sync.entity.code is 'What the grid model calls it; NULL: it is not there, or not yet found';

-- Which entity a record of a system is, and how sure that is (crosswalk).
create table sync.crosswalk (
  system text not null,
  dataset text not null,
  key text not null,
  entity_id bigint not null references sync.entity (entity_id),
  method text not null,
  confidence real not null check (confidence between 0 and 1),
  state text not null check (state in ('sure', 'unsure', 'confirmed')),
  recorded tstzrange not null check (not isempty(recorded)),
  decision_id bigint
);
create unique index crosswalk_current on sync.crosswalk (system, dataset, key) where upper_inf(recorded);
create index crosswalk_entity on sync.crosswalk (entity_id) where upper_inf(recorded);
create index crosswalk_unsure on sync.crosswalk (confidence) where upper_inf(recorded) and state = 'unsure';

-- What people decided about identities, against or beside what was found: it stands until it is undone.
create table sync.identity_decision (
  decision_id bigint generated always as identity primary key,
  action text not null check (action in ('merge', 'split')),
  system text not null,
  dataset text not null,
  key text not null,
  entity_id bigint not null references sync.entity (entity_id),
  former_id bigint references sync.entity (entity_id),
  decided_by text not null,
  reason text not null,
  decided_at timestamptz not null default now(),
  undone_by text,
  undone_at timestamptz,
  check ((undone_by is null) = (undone_at is null))
);
create unique index identity_decision_stands on sync.identity_decision (system, dataset, key) where undone_at is null;
alter table sync.crosswalk
  add constraint crosswalk_decision foreign key (decision_id) references sync.identity_decision (decision_id);

-- Which system is believed for which field: the least rank first. Only added to.
create table sync.authority (
  authority_id bigint generated always as identity primary key,
  entity text not null,
  field text not null,
  systems text[] not null check (cardinality(systems) > 0),
  valid_from timestamptz not null,
  recorded_at timestamptz not null default now(),
  recorded_by text not null,
  reason text not null
);
create function sync.keep_authority() returns trigger
language plpgsql as $$
begin
  raise exception 'an authority is never changed: record another';
end
$$;
create trigger keep before update or delete on sync.authority for each statement execute function sync.keep_authority();

create table sync.conflict (
  conflict_id bigint generated always as identity primary key,
  fingerprint bytea not null unique,
  kind text not null check (
    kind in ('missing', 'orphan', 'duplicate', 'field_differs', 'relation_differs', 'outdated', 'impossible')
  ),
  entity_kind text not null,
  entity_id bigint references sync.entity (entity_id),
  field text not null,
  system text not null,
  dataset text not null,
  key text,
  department text not null,
  believed text,
  given text,
  said jsonb not null,
  confidence real not null check (confidence between 0 and 1),
  opened_at timestamptz not null,
  closed_at timestamptz,
  seen_at timestamptz not null
);
create index conflict_open on sync.conflict (kind, opened_at) where closed_at is null;
create index conflict_row on sync.conflict (system, dataset, key);
comment on column sync.conflict.system is 'Whose record is taken to be wrong; model: the grid model itself';
comment on column sync.conflict.key is 'NULL: a record that should be there and is not, whose key nothing tells';
comment on column sync.conflict.said is 'What each system says';

create table sync.proposal (
  proposal_id bigint generated always as identity primary key,
  conflict_id bigint references sync.conflict (conflict_id),
  target text not null,
  change jsonb,
  inverse jsonb,
  before jsonb not null,
  after jsonb not null,
  state text not null check (state in ('open', 'approved', 'applied', 'refused', 'withdrawn', 'undone')),
  approvals_needed smallint not null check (approvals_needed between 1 and 5),
  proposed_by text not null,
  reason text not null,
  proposed_at timestamptz not null default now(),
  due_at timestamptz not null,
  outbox_id bigint,
  version integer not null default 0
);
create unique index proposal_of_conflict on sync.proposal (conflict_id) where state in ('open', 'approved');
create index proposal_due on sync.proposal (due_at) where state in ('open', 'approved');
comment on column sync.proposal.target is 'model: the grid model is to be changed; else the system that is asked to correct its record';

-- Who did what with a proposal. Only added to.
create table sync.proposal_event (
  event_id bigint generated always as identity primary key,
  proposal_id bigint not null references sync.proposal (proposal_id),
  action text not null,
  by_whom text not null,
  department text not null,
  reason text,
  at timestamptz not null default now()
);
create index proposal_event_proposal on sync.proposal_event (proposal_id, event_id);

-- Share of right relations station-line-transformer-customer (站-线-变-户), as it was found.
create table sync.consistency (
  unit_id integer not null references grid.unit (unit_id),
  relation text not null check (relation in ('station_line', 'line_transformer', 'transformer_customer')),
  day date not null,
  relations integer not null check (relations >= 0),
  consistent integer not null check (consistent between 0 and relations),
  primary key (unit_id, relation, day)
);

-- Two people approve, and the four eyes are different ones, whatever the program does.
create unique index proposal_approval_once on sync.proposal_event (proposal_id, by_whom) where action = 'approve';
