-- depends: 0026.targets
-- What measurements say of relations, and proposals that are corrected.

-- By which transformer a meter's voltage goes: written by the daily job that
-- compares voltages, read when records are compared.
create table sync.measured_area (
  meter text primary key,
  area text not null,
  confidence real not null check (confidence between 0 and 1),
  measured_at timestamptz not null
);
comment on table sync.measured_area is 'The last thing that was measured of a meter; an old one does not count';

-- A correction is another proposal under the same number: what was approved of the former one doesn't count for it.
alter table sync.proposal
  add column revision integer not null default 0,
  add column corrected_by text;
alter table sync.proposal_event add column revision integer not null default 0;
drop index sync.proposal_approval_once;
create unique index proposal_approval_once on sync.proposal_event (proposal_id, revision, by_whom)
where action = 'approve';
