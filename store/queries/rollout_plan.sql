-- name: add_package
insert into rollout.package (
  programme, code, name, unit, department, owner, starts_on, due_on, depends_on, planned, dropped, at, actor
) values (
  %(programme)s, %(code)s, %(name)s, %(unit)s, %(department)s, %(owner)s, %(starts_on)s, %(due_on)s, %(depends_on)s,
  %(planned)s, %(dropped)s, %(at)s, %(actor)s
)
returning package_id

-- name: add_milestone
insert into rollout.milestone (programme, code, package, name, due_on, accept, measures, dropped, at, actor)
values (
  %(programme)s, %(code)s, %(package)s, %(name)s, %(due_on)s, %(accept)s, %(measures)s, %(dropped)s, %(at)s, %(actor)s
)
returning milestone_id

-- name: lock
-- One plan is written at a time.
select pg_advisory_xact_lock(hashtextextended('rollout plan ' || %(programme)s, 0))

-- name: lock_judging
select pg_advisory_xact_lock(hashtextextended('rollout judging', 0))

-- name: standing_packages
select code, name, unit, department, owner, starts_on, due_on, depends_on, planned
from rollout.packages_at(%(at)s) where programme = %(programme)s

-- name: standing_milestones
select code, package, name, due_on, accept, measures from rollout.milestones_at(%(at)s) where programme = %(programme)s

-- name: packages
-- `blocked_by` are the packages that one depends on and that aren't done.
with done as materialized (select programme, code from rollout.packages_done(%(at)s, %(zone)s))
select
  p.programme, p.code, p.name, p.unit, p.department, p.owner, p.starts_on, p.due_on, p.depends_on, p.planned,
  (
    select jsonb_object_agg(g.name, g.amount)
    from (
      select r.phase || '_' || r.resource as name, sum(r.amount) as amount
      from rollout.resource r
      where r.programme = p.programme and r.package = p.code and r.at <= %(at)s
      group by 1
    ) g
  ) as resources,
  array(
    select d.code from unnest(p.depends_on) as d (code)
    where not exists (select from done where done.programme = p.programme and done.code = d.code)
    order by d.code
  ) as blocked_by,
  m.milestones, m.passed,
  m.slipped + (case when m.passed < m.milestones and p.due_on < (%(at)s::timestamptz at time zone %(zone)s)::date then 1 else 0 end) > 0
    as is_late
from rollout.packages_at(%(at)s) p
cross join lateral (
  select count(*) as milestones, count(passed_at) as passed,
    count(*) filter (where passed_at is null and due_on < (%(at)s::timestamptz at time zone %(zone)s)::date) as slipped
  from rollout.milestones_at(%(at)s) m
  where m.programme = p.programme and m.package = p.code
) m
where (%(programme)s::text is null or p.programme = %(programme)s)
  and (
    %(unit)s::text is null
    or p.unit in (select code from rollout.below(%(unit)s, %(at)s))
    or p.department in (select code from rollout.below(%(unit)s, %(at)s))
  )
order by p.programme, p.starts_on, p.code
offset %(skip)s
limit %(limit)s

-- name: milestones
select
  m.programme, m.code, m.package, m.unit, m.department, m.owner, m.name, m.due_on, m.accept, m.measures, m.result,
  m.reviewed_at, m.reviewed_by, m.passed_at,
  m.passed_at is null and m.due_on < (%(at)s::timestamptz at time zone %(zone)s)::date as is_slipped
from rollout.milestones_at(%(at)s) m
where (%(programme)s::text is null or m.programme = %(programme)s)
  and (%(code)s::text is null or m.code = %(code)s)
  and (%(package)s::text is null or m.package = %(package)s)
  and (
    %(unit)s::text is null
    or m.unit in (select code from rollout.below(%(unit)s, %(at)s))
    or m.department in (select code from rollout.below(%(unit)s, %(at)s))
  )
order by m.due_on, m.programme, m.code
offset %(skip)s
limit %(limit)s

-- name: add_review
insert into rollout.review (programme, milestone, result, evidence, conditions, figures, at, actor)
values (%(programme)s, %(milestone)s, %(result)s, %(evidence)s, %(conditions)s, %(figures)s, %(at)s, %(actor)s)
returning review_id

-- name: reviews
select review_id, result, evidence, conditions, figures, at, actor
from rollout.review
where programme = %(programme)s and milestone = %(milestone)s and at <= %(at)s
order by review_id

-- name: blocked_by
select d.code
from rollout.packages_at(%(at)s) p
cross join unnest(p.depends_on) as d (code)
where p.programme = %(programme)s and p.code = %(package)s
  and (p.programme, d.code) not in (select programme, code from rollout.packages_done(%(at)s, %(zone)s))
order by d.code

-- name: add_resource
insert into rollout.resource (programme, package, resource, phase, amount, note, at, actor)
values (%(programme)s, %(package)s, %(resource)s, %(phase)s, %(amount)s, %(note)s, %(at)s, %(actor)s)
returning resource_id

-- name: organisation
select code from grid.organisation where code = %(code)s

-- name: below
select code from rollout.below(%(unit)s, %(at)s)
