-- depends: 0022.sync
-- The roll-out and its service desk. Nothing is changed or removed here: a plan gets another revision, a ticket another
-- step. So what was known at any instant can be asked for, and a figure of a report be computed again as then known.
create schema rollout;

create function rollout.keep() returns trigger
language plpgsql as $$
begin
  raise exception 'history is never changed: record another';
end
$$;

-- Plan: programmes, work packages, milestones with their acceptance criteria. The last revision stands.
create table rollout.package (
  package_id bigint generated always as identity primary key,
  programme text not null,
  code text not null,
  name text not null,
  unit text not null references grid.organisation (code),
  department text references grid.organisation (code),
  owner text not null,
  starts_on date not null,
  due_on date not null,
  depends_on text[] not null,
  planned jsonb not null,
  dropped boolean not null default false,
  at timestamptz not null,
  actor text not null,
  check (due_on >= starts_on)
);
create index package_code on rollout.package (programme, code, package_id);
comment on column rollout.package.planned is 'Amount of each resource: funds, people, material';
comment on column rollout.package.dropped is 'The plan doesn''t have it any more';

create table rollout.milestone (
  milestone_id bigint generated always as identity primary key,
  programme text not null,
  code text not null,
  package text not null,
  name text not null,
  due_on date not null,
  accept text[] not null,
  measures text[] not null,
  dropped boolean not null default false,
  at timestamptz not null,
  actor text not null
);
create index milestone_code on rollout.milestone (programme, code, milestone_id);
comment on column rollout.milestone.accept is 'Criteria that people judge';
comment on column rollout.milestone.measures is 'Criteria on indicators, which judge themselves: consistency >= 98 % for 7 days';

create table rollout.review (
  review_id bigint generated always as identity primary key,
  programme text not null,
  milestone text not null,
  result text not null check (result in ('passed', 'conditions', 'failed')),
  evidence text not null,
  conditions text check ((conditions is not null) = (result = 'conditions')),
  figures jsonb not null,
  at timestamptz not null,
  actor text not null
);
create index review_milestone on rollout.review (programme, milestone, review_id);
comment on column rollout.review.figures is 'What its measures came to then';
comment on column rollout.review.actor is 'meterline where the milestone has judged itself';

create table rollout.resource (
  resource_id bigint generated always as identity primary key,
  programme text not null,
  package text not null,
  resource text not null check (resource in ('funds', 'people', 'material')),
  phase text not null check (phase in ('granted', 'used')),
  amount double precision not null check (amount between -1e15 and 1e15),
  note text not null,
  at timestamptz not null,
  actor text not null
);
create index resource_package on rollout.resource (programme, package);
comment on column rollout.resource.amount is 'What is added; a correction is negative';

-- Service desk.
create table rollout.release (
  release_id bigint generated always as identity primary key,
  code text not null unique,
  name text not null,
  changes text not null,
  at timestamptz not null,
  actor text not null
);
create table rollout.release_step (
  step_id bigint generated always as identity primary key,
  release text not null references rollout.release (code),
  action text not null check (action in ('deploy', 'roll_back', 'confirm')),
  unit text not null references grid.organisation (code),
  note text not null,
  at timestamptz not null,
  actor text not null
);
create index release_step_release on rollout.release_step (release, unit, step_id);

create table rollout.ticket (
  ticket_id bigint generated always as identity primary key,
  kind text not null check (kind in ('change', 'demand', 'guidance', 'version')),
  unit text not null references grid.organisation (code),
  priority text not null check (priority in ('urgent', 'high', 'normal', 'low')),
  title text not null,
  body text not null,
  tiers smallint not null check (tiers between 2 and 3),
  respond_s integer not null check (respond_s > 0),
  resolve_s integer not null check (resolve_s > 0),
  norm text,
  at timestamptz not null,
  actor text not null
);
create index ticket_unit on rollout.ticket (unit, ticket_id);
comment on column rollout.ticket.kind is 'Demand change, new demand, business guidance, version control';
comment on column rollout.ticket.resolve_s is 'Working time within which it is to be resolved, as promised when it was opened';
comment on column rollout.ticket.norm is 'Version of a business norm that asks for it: CODE/VERSION';

create table rollout.ticket_step (
  ticket_id bigint not null references rollout.ticket (ticket_id),
  number integer not null check (number > 0),
  action text not null,
  from_state text,
  to_state text not null check (to_state in ('open', 'in_progress', 'waiting', 'resolved', 'closed')),
  tier smallint not null check (tier between 1 and 3),
  assignee text,
  release text references rollout.release (code),
  reason text not null,
  worked_s double precision not null,
  responded_s double precision,
  respond_due_at timestamptz,
  resolve_due_at timestamptz,
  at timestamptz not null,
  actor text not null,
  primary key (ticket_id, number)
);
create index ticket_step_release on rollout.ticket_step (release) where release is not null;
comment on column rollout.ticket_step.number is 'Of the step within the ticket; two who act on the same one can''t both';
comment on column rollout.ticket_step.worked_s is 'Working time on the clock so far; it stands still while others are waited for';
comment on column rollout.ticket_step.responded_s is 'The same when it was first taken';
comment on column rollout.ticket_step.resolve_due_at is 'When the promise is broken; NULL while the clock stands still';

create table rollout.knowledge (
  knowledge_id bigint generated always as identity primary key,
  ticket_id bigint references rollout.ticket (ticket_id),
  title text not null,
  body text not null,
  at timestamptz not null,
  actor text not null
);

-- Decisions, conferences, norms, trainings.
create table rollout.matter (
  matter_id bigint generated always as identity primary key,
  unit text not null references grid.organisation (code),
  department text not null,
  cross_department boolean not null,
  title text not null,
  body text not null,
  at timestamptz not null,
  actor text not null
);
create table rollout.conference (
  conference_id bigint generated always as identity primary key,
  title text not null,
  held_at timestamptz not null,
  attendants text[] not null check (cardinality(attendants) between 1 and 500),
  minutes text not null,
  at timestamptz not null,
  actor text not null
);
create table rollout.decision (
  decision_id bigint generated always as identity primary key,
  conference_id bigint references rollout.conference (conference_id),
  matter_id bigint references rollout.matter (matter_id),
  decision text not null,
  owner text not null,
  due_on date not null,
  at timestamptz not null,
  actor text not null
);
create index decision_matter on rollout.decision (matter_id);
create table rollout.follow_up (
  follow_up_id bigint generated always as identity primary key,
  decision_id bigint not null references rollout.decision (decision_id),
  done boolean not null,
  note text not null,
  at timestamptz not null,
  actor text not null
);
create index follow_up_decision on rollout.follow_up (decision_id, follow_up_id);

create table rollout.norm (
  norm_id bigint generated always as identity primary key,
  code text not null,
  version integer not null check (version > 0),
  title text not null,
  body text not null,
  decision_id bigint references rollout.decision (decision_id),
  at timestamptz not null,
  actor text not null,
  unique (code, version)
);
create table rollout.norm_confirmation (
  code text not null,
  version integer not null,
  unit text not null references grid.organisation (code),
  at timestamptz not null,
  actor text not null,
  primary key (code, version, unit),
  foreign key (code, version) references rollout.norm (code, version)
);
create table rollout.training (
  training_id bigint generated always as identity primary key,
  unit text not null references grid.organisation (code),
  topic text not null,
  held_on date not null,
  people integer not null check (people between 0 and 100000),
  norm text,
  at timestamptz not null,
  actor text not null
);

-- Assessment: versions of weights and who approved them, what was found of each organisation, warnings, appeals.
create table rollout.weighting (
  weighting_id bigint generated always as identity primary key,
  weights jsonb not null,
  reason text not null,
  at timestamptz not null,
  actor text not null
);
create table rollout.weighting_approval (
  weighting_id bigint primary key references rollout.weighting (weighting_id),
  at timestamptz not null,
  actor text not null
);
create table rollout.assessment (
  assessment_id bigint generated always as identity primary key,
  weighting_id bigint not null references rollout.weighting_approval (weighting_id),
  kind text not null check (kind in ('unit', 'department')),
  since timestamptz not null,
  until_at timestamptz not null check (until_at > since),
  at timestamptz not null,
  actor text not null
);
comment on column rollout.assessment.until_at is 'What it covers ends here, and is taken as it was known then';
create table rollout.assessed (
  assessment_id bigint not null references rollout.assessment (assessment_id),
  unit text not null references grid.organisation (code),
  indicator text not null,
  value double precision,
  primary key (assessment_id, unit, indicator)
);
create table rollout.warning (
  warning_id bigint generated always as identity primary key,
  assessment_id bigint not null references rollout.assessment (assessment_id),
  unit text not null references grid.organisation (code),
  score double precision not null,
  at timestamptz not null,
  actor text not null,
  unique (assessment_id, unit)
);
create table rollout.appeal (
  appeal_id bigint generated always as identity primary key,
  assessment_id bigint not null,
  unit text not null,
  indicator text not null,
  claimed double precision not null,
  reason text not null,
  at timestamptz not null,
  actor text not null,
  foreign key (assessment_id, unit, indicator) references rollout.assessed (assessment_id, unit, indicator)
);
create table rollout.appeal_answer (
  appeal_id bigint primary key references rollout.appeal (appeal_id),
  value double precision,
  answer text not null,
  at timestamptz not null,
  actor text not null
);
comment on column rollout.appeal_answer.value is 'What counts in place of what was found; NULL: the appeal was refused';

-- When conflicts of sync were open, and at which unit: their own row keeps only the last time.
create table rollout.conflict_step (
  conflict_id bigint not null,
  at timestamptz not null,
  is_open boolean not null,
  unit_id integer,
  primary key (conflict_id, at, is_open)
);
create function rollout.note_conflicts() returns trigger
language plpgsql as $$
begin
  insert into rollout.conflict_step (conflict_id, at, is_open, unit_id)
  select c.conflict_id, coalesce(c.closed_at, c.opened_at), c.closed_at is null, coalesce(u.unit_id, m.unit_id)
  from changed c
  left join sync.entity e on e.entity_id = c.entity_id
  left join grid.unit u on u.code = e.code and e.kind in ('area', 'feeder')
  left join lateral (
    select m.unit_id from grid.member m
    where e.kind = 'meter' and m.meter = e.code and upper_inf(m.recorded) and m.role & 2 = 2
    order by upper(m.valid) desc nulls first
    limit 1
  ) m on true
  where not exists (
    select from rollout.conflict_step s
    where s.conflict_id = c.conflict_id and s.is_open = (c.closed_at is null)
      and s.at = (select max(at) from rollout.conflict_step l where l.conflict_id = c.conflict_id)
  )
  on conflict do nothing;
  return null;
end
$$;
create trigger note_new after insert on sync.conflict
referencing new table as changed for each statement execute function rollout.note_conflicts();
create trigger note_changed after update on sync.conflict
referencing new table as changed for each statement execute function rollout.note_conflicts();
insert into rollout.conflict_step (conflict_id, at, is_open)
select conflict_id, opened_at, true from sync.conflict
union all
select conflict_id, closed_at, false from sync.conflict where closed_at is not null;

-- An organisation and those below it, as known at an instant.
create function rollout.below(organisation text, at timestamptz) returns table (organisation_id integer, code text)
language sql stable
begin atomic
  with recursive found (organisation_id) as (
    select o.organisation_id from grid.organisation o where o.code = below.organisation
    union
    select s.organisation_id
    from found f
    join grid.organisation_state s on s.parent_id = f.organisation_id
    where s.valid @> below.at and s.recorded @> below.at
  )
  select f.organisation_id, o.code from found f join grid.organisation o using (organisation_id);
end;

-- The assessment units that an organisation answers for, itself or by those below it, as known at an instant; NULL: all.
create function rollout.units_of(organisation text, at timestamptz) returns table (unit_id integer)
language sql stable
begin atomic
  select r.unit_id
  from rollout.below(units_of.organisation, units_of.at) b
  join grid.responsibility r using (organisation_id)
  where r.valid @> units_of.at and r.recorded @> units_of.at
  union
  select u.unit_id from grid.unit u where units_of.organisation is null;
end;

-- The plan as it was at an instant.
create function rollout.packages_at(at timestamptz) returns setof rollout.package
language sql stable
begin atomic
  select * from (
    select distinct on (p.programme, p.code) p.* from rollout.package p
    where p.at <= packages_at.at
    order by p.programme, p.code, p.package_id desc
  ) p
  where not p.dropped;
end;
create function rollout.milestones_at(at timestamptz)
returns table (
  programme text, code text, package text, unit text, department text, owner text, name text, due_on date, accept text[],
  measures text[], result text, reviewed_at timestamptz, reviewed_by text, passed_at timestamptz
)
language sql stable
begin atomic
  select m.programme, m.code, m.package, p.unit, p.department, p.owner, m.name, m.due_on, m.accept, m.measures,
    r.result, r.at, r.actor, case when r.result in ('passed', 'conditions') then r.at end
  from (
    select distinct on (m.programme, m.code) m.* from rollout.milestone m
    where m.at <= milestones_at.at
    order by m.programme, m.code, m.milestone_id desc
  ) m
  join rollout.packages_at(milestones_at.at) p on p.programme = m.programme and p.code = m.package
  left join lateral (
    select r.result, r.at, r.actor from rollout.review r
    where r.programme = m.programme and r.milestone = m.code and r.at <= milestones_at.at
    order by r.review_id desc
    limit 1
  ) r on true
  where not m.dropped;
end;

-- Tickets as they were at an instant, and whether a promise was broken then.
create function rollout.tickets_at(at timestamptz)
returns table (
  ticket_id bigint, kind text, unit text, priority text, title text, tiers smallint, opened_at timestamptz,
  opened_by text, norm text, number integer, state text, tier smallint, assignee text, release text, stepped_at timestamptz,
  worked_s double precision, responded_s double precision, respond_s integer, resolve_s integer,
  respond_due_at timestamptz, resolve_due_at timestamptz, response_broken boolean, resolution_broken boolean
)
language sql stable
begin atomic
  select t.ticket_id, t.kind, t.unit, t.priority, t.title, t.tiers, t.at, t.actor, t.norm, s.number, s.to_state, s.tier,
    s.assignee, s.release, s.at, s.worked_s, s.responded_s, t.respond_s, t.resolve_s, s.respond_due_at, s.resolve_due_at,
    coalesce(s.responded_s > t.respond_s, s.respond_due_at <= tickets_at.at, false),
    s.worked_s > t.resolve_s or coalesce(s.resolve_due_at <= tickets_at.at, false)
  from rollout.ticket t
  join lateral (
    select s.* from rollout.ticket_step s
    where s.ticket_id = t.ticket_id and s.at <= tickets_at.at
    order by s.number desc
    limit 1
  ) s on true;
end;

do $$
declare
  t regclass;
begin
  for t in select c.oid::regclass from pg_class c where c.relnamespace = 'rollout'::regnamespace and c.relkind = 'r' loop
    execute format('create trigger keep before update or delete or truncate on %s for each statement execute function rollout.keep()', t);
    if exists (select from pg_roles where rolname = 'meterline_app') then
      execute format('revoke all on %s from meterline_app', t);
      execute format('grant select, insert on %s to meterline_app', t);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'meterline_app') then
    grant usage on schema rollout to meterline_app;
    grant usage, select on all sequences in schema rollout to meterline_app;
  end if;
end
$$;
