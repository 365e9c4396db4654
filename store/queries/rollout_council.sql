-- name: add_matter
insert into rollout.matter (unit, department, cross_department, title, body, at, actor)
values (%(unit)s, %(department)s, %(cross_department)s, %(title)s, %(body)s, %(at)s, %(actor)s)
returning matter_id

-- name: matters
-- With the last decision about it, and whether that was carried out.
select m.matter_id, m.unit, m.department, m.cross_department, m.title, m.body, m.at, m.actor, d.decision_id, d.decision,
  d.owner, d.due_on, coalesce(d.done, false) as done
from rollout.matter m
left join lateral (
  select d.*, exists (
    select from rollout.follow_up f where f.decision_id = d.decision_id and f.done and f.at <= %(at)s
  ) as done
  from rollout.decision d
  where d.matter_id = m.matter_id and d.at <= %(at)s
  order by d.decision_id desc
  limit 1
) d on true
where m.at <= %(at)s
  and (%(matter_id)s::bigint is null or m.matter_id = %(matter_id)s)
  and (%(cross_department)s::boolean is null or m.cross_department = %(cross_department)s)
  and (not %(open)s or not coalesce(d.done, false))
  and (%(unit)s::text is null or m.unit in (select code from rollout.below(%(unit)s, %(at)s)))
  and (%(after)s = 0 or m.matter_id < %(after)s)
order by m.matter_id desc
limit %(limit)s

-- name: add_conference
insert into rollout.conference (title, held_at, attendants, minutes, at, actor)
values (%(title)s, %(held_at)s, %(attendants)s, %(minutes)s, %(at)s, %(actor)s)
returning conference_id

-- name: conferences
select c.conference_id, c.title, c.held_at, c.attendants, c.minutes, c.at, c.actor,
  array(
    select d.decision_id from rollout.decision d
    where d.conference_id = c.conference_id and d.at <= %(at)s order by d.decision_id
  ) as decisions
from rollout.conference c
where c.at <= %(at)s and (%(after)s = 0 or c.conference_id < %(after)s)
order by c.conference_id desc
limit %(limit)s

-- name: add_decision
insert into rollout.decision (conference_id, matter_id, decision, owner, due_on, at, actor)
values (%(conference_id)s, %(matter_id)s, %(decision)s, %(owner)s, %(due_on)s, %(at)s, %(actor)s)
returning decision_id

-- name: decisions
select d.decision_id, d.conference_id, d.matter_id, m.unit, d.decision, d.owner, d.due_on, d.at, d.actor,
  coalesce(f.done, false) as done, f.note as last_note,
  not coalesce(f.done, false) and d.due_on < (%(at)s::timestamptz at time zone %(zone)s)::date as is_overdue
from rollout.decision d
left join rollout.matter m using (matter_id)
left join lateral (
  select bool_or(f.done) as done, (array_agg(f.note order by f.follow_up_id desc))[1] as note
  from rollout.follow_up f where f.decision_id = d.decision_id and f.at <= %(at)s
) f on true
where d.at <= %(at)s
  and (%(decision_id)s::bigint is null or d.decision_id = %(decision_id)s)
  and (not %(open)s or not coalesce(f.done, false))
  and (%(unit)s::text is null or m.unit in (select code from rollout.below(%(unit)s, %(at)s)))
  and (%(after)s = 0 or d.decision_id < %(after)s)
order by d.decision_id desc
limit %(limit)s

-- name: add_follow_up
insert into rollout.follow_up (decision_id, done, note, at, actor)
values (%(decision_id)s, %(done)s, %(note)s, %(at)s, %(actor)s)
returning follow_up_id

-- name: follow_ups
select done, note, at, actor from rollout.follow_up
where decision_id = %(decision_id)s and at <= %(at)s
order by follow_up_id

-- name: lock_norm
select pg_advisory_xact_lock(hashtextextended('rollout norm ' || %(code)s, 0))

-- name: add_norm
insert into rollout.norm (code, version, title, body, decision_id, at, actor)
select %(code)s, coalesce(max(version), 0) + 1, %(title)s, %(body)s, %(decision_id)s, %(at)s, %(actor)s
from rollout.norm where code = %(code)s
returning version

-- name: norms
-- All versions, with the units that have confirmed each.
select n.code, n.version, n.title, n.body, n.decision_id, n.at, n.actor,
  array(
    select c.unit from rollout.norm_confirmation c
    where c.code = n.code and c.version = n.version and c.at <= %(at)s order by c.unit
  ) as confirmed
from rollout.norm n
where n.at <= %(at)s
  and (%(code)s::text is null or n.code = %(code)s)
  and (%(name)s::text is null or n.code || '/' || n.version = %(name)s)
order by n.code, n.version
limit 10000

-- name: add_confirmation
insert into rollout.norm_confirmation (code, version, unit, at, actor)
values (%(code)s, %(version)s, %(unit)s, %(at)s, %(actor)s)
returning version

-- name: confirmations
select unit, at, actor from rollout.norm_confirmation
where code = %(code)s and version = %(version)s and at <= %(at)s
order by at, unit

-- name: add_training
insert into rollout.training (unit, topic, held_on, people, norm, at, actor)
values (%(unit)s, %(topic)s, %(held_on)s, %(people)s, %(norm)s, %(at)s, %(actor)s)
returning training_id

-- name: trainings
select t.training_id, t.unit, t.topic, t.held_on, t.people, t.norm, t.at, t.actor
from rollout.training t
where t.at <= %(at)s
  and (%(unit)s::text is null or t.unit in (select code from rollout.below(%(unit)s, %(at)s)))
  and (%(after)s = 0 or t.training_id < %(after)s)
order by t.training_id desc
limit %(limit)s

-- name: chain
-- What a decision led to, each step with who and when: conference, decision, norms, their tickets, the releases that
-- carry these, deployments and confirmations, follow-up.
with norms as (
  select n.code, n.version, n.code || '/' || n.version as name, n.title, n.at, n.actor
  from rollout.norm n where n.decision_id = %(decision_id)s
), tickets as (
  select t.* from rollout.ticket t where t.norm in (select name from norms)
), steps as (
  select s.*, lag(s.release) over (partition by s.ticket_id order by s.number) is distinct from s.release as is_linked
  from rollout.ticket_step s where s.ticket_id in (select ticket_id from tickets)
), releases as (
  select distinct release from steps where release is not null
)
select at, actor, step, about, unit
from (
  select 1 as rank, c.at, c.actor, 'conference' as step, c.title as about, null::text as unit
  from rollout.conference c join rollout.decision d using (conference_id) where d.decision_id = %(decision_id)s
  union all
  select 2, d.at, d.actor, 'decision', d.decision, null from rollout.decision d where d.decision_id = %(decision_id)s
  union all
  select 3, n.at, n.actor, 'norm', n.name, null from norms n
  union all
  select 4, t.at, t.actor, 'ticket', t.ticket_id::text, t.unit from tickets t
  union all
  select 5, r.at, r.actor, 'release', r.code, null from rollout.release r where r.code in (select release from releases)
  union all
  select 6, s.at, s.actor, 'ticket_link', s.ticket_id || ' ' || s.release, null from steps s
  where s.release is not null and s.is_linked
  union all
  select 7, s.at, s.actor, s.action, s.release, s.unit
  from rollout.release_step s where s.release in (select release from releases)
  union all
  select 8, c.at, c.actor, 'norm_confirmation', n.name, c.unit
  from norms n join rollout.norm_confirmation c using (code, version)
  union all
  select 9, s.at, s.actor, 'ticket_' || s.to_state, s.ticket_id::text, null
  from steps s where s.action in ('resolve', 'close', 'reopen')
  union all
  select 10, f.at, f.actor, case when f.done then 'done' else 'follow_up' end, f.note, null
  from rollout.follow_up f where f.decision_id = %(decision_id)s
) c
where at <= %(at)s
order by at, rank, unit
