-- name: add_weighting
insert into rollout.weighting (weights, reason, at, actor) values (%(weights)s, %(reason)s, %(at)s, %(actor)s)
returning weighting_id

-- name: weightings
select w.weighting_id, w.weights, w.reason, w.at, w.actor, a.at as approved_at, a.actor as approved_by
from rollout.weighting w
left join rollout.weighting_approval a on a.weighting_id = w.weighting_id and a.at <= %(at)s
where w.at <= %(at)s and (%(weighting_id)s::bigint is null or w.weighting_id = %(weighting_id)s)
order by w.weighting_id desc
limit 1000

-- name: approve
insert into rollout.weighting_approval (weighting_id, at, actor) values (%(weighting_id)s, %(at)s, %(actor)s)
returning weighting_id

-- name: organisations
-- Units below another, or departments, as they were known.
select o.code
from grid.organisation o
join grid.organisation_state s using (organisation_id)
where o.kind = %(kind)s and s.parent_id is not null and s.valid @> %(at)s::timestamptz and s.recorded @> %(at)s::timestamptz
order by o.code

-- name: add_assessment
insert into rollout.assessment (weighting_id, kind, since, until_at, at, actor)
values (%(weighting_id)s, %(kind)s, %(since)s, %(until_at)s, %(at)s, %(actor)s)
returning assessment_id

-- name: add_assessed
with added as (
  insert into rollout.assessed (assessment_id, unit, indicator, value)
  select %(assessment_id)s, * from unnest(%(units)s::text[], %(indicators)s::text[], %(values)s::float8[])
  returning 1
)
select count(*) from added

-- name: add_warning
insert into rollout.warning (assessment_id, unit, score, at, actor)
values (%(assessment_id)s, %(unit)s, %(score)s, %(at)s, %(actor)s)
returning warning_id

-- name: assessments
select a.assessment_id, a.weighting_id, a.kind, a.since, a.until_at, a.at, a.actor, w.weights
from rollout.assessment a join rollout.weighting w using (weighting_id)
where a.at <= %(at)s and (%(assessment_id)s::bigint is null or a.assessment_id = %(assessment_id)s)
order by a.assessment_id desc
limit 1000

-- name: assessed
-- What was found, and what counts in its place by the last appeal that was granted.
select v.unit, v.indicator, v.value as found, coalesce(g.value, v.value) as value, g.appeal_id
from rollout.assessed v
left join lateral (
  select n.value, n.appeal_id
  from rollout.appeal p
  join rollout.appeal_answer n using (appeal_id)
  where p.assessment_id = v.assessment_id and p.unit = v.unit and p.indicator = v.indicator and n.value is not null
    and n.at <= %(at)s
  order by n.at desc, n.appeal_id desc
  limit 1
) g on true
where v.assessment_id = %(assessment_id)s
order by v.unit, v.indicator

-- name: warnings
select warning_id, unit, score, at, actor from rollout.warning
where assessment_id = %(assessment_id)s and at <= %(at)s
order by unit

-- name: standing
-- Warning orders that stand at an instant, by the last assessment.
select s.assessment_id, s.unit, s.score, s.rank, s.warn_below, s.warned_at
from rollout.scores_at(%(at)s) s
where s.warned_at is not null
  and (%(unit)s::text is null or s.unit in (select code from rollout.below(%(unit)s, %(at)s)))
order by s.unit
limit %(limit)s

-- name: add_appeal
insert into rollout.appeal (assessment_id, unit, indicator, claimed, reason, at, actor)
values (%(assessment_id)s, %(unit)s, %(indicator)s, %(claimed)s, %(reason)s, %(at)s, %(actor)s)
returning appeal_id

-- name: add_answer
insert into rollout.appeal_answer (appeal_id, value, answer, at, actor)
values (%(appeal_id)s, %(value)s, %(answer)s, %(at)s, %(actor)s)
returning appeal_id

-- name: appeals
select p.appeal_id, p.assessment_id, p.unit, p.indicator, p.claimed, p.reason, p.at, p.actor, n.answer, n.value as granted,
  n.at as answered_at, n.actor as answered_by
from rollout.appeal p
left join rollout.appeal_answer n on n.appeal_id = p.appeal_id and n.at <= %(at)s
where p.at <= %(at)s
  and (%(appeal_id)s::bigint is null or p.appeal_id = %(appeal_id)s)
  and (%(assessment_id)s::bigint is null or p.assessment_id = %(assessment_id)s)
order by p.appeal_id
limit 10000
