-- name: add_ticket
insert into rollout.ticket (kind, unit, priority, title, body, tiers, respond_s, resolve_s, norm, at, actor)
values (
  %(kind)s, %(unit)s, %(priority)s, %(title)s, %(body)s, %(tiers)s, %(respond_s)s, %(resolve_s)s, %(norm)s, %(at)s,
  %(actor)s
)
returning ticket_id

-- name: add_step
insert into rollout.ticket_step (
  ticket_id, number, action, from_state, to_state, tier, assignee, release, reason, worked_s, responded_s,
  respond_due_at, resolve_due_at, at, actor
) values (
  %(ticket_id)s, %(number)s, %(action)s, %(from_state)s, %(to_state)s, %(tier)s, %(assignee)s, %(release)s, %(reason)s,
  %(worked_s)s, %(responded_s)s, %(respond_due_at)s, %(resolve_due_at)s, %(at)s, %(actor)s
)
returning number

-- name: standing
select t.*, s.number, s.to_state, s.tier, s.assignee, s.release, s.worked_s, s.responded_s, s.respond_due_at,
  s.resolve_due_at, s.at as stepped_at
from rollout.ticket t
join lateral (
  select s.* from rollout.ticket_step s where s.ticket_id = t.ticket_id order by s.number desc limit 1
) s on true
where t.ticket_id = %(ticket_id)s

-- name: tickets
select * from rollout.tickets_at(%(at)s) t
where (%(ticket_id)s::bigint is null or t.ticket_id = %(ticket_id)s)
  and (%(states)s::text[] is null or t.state = any(%(states)s) or t.resolved_at >= %(resolved_since)s::timestamptz)
  and (%(kind)s::text is null or t.kind = %(kind)s)
  and (%(assignee)s::text is null or t.assignee = %(assignee)s)
  and (%(tier)s::integer is null or t.tier = %(tier)s)
  and (not %(broken)s or t.response_broken or t.resolution_broken)
  and (%(unit)s::text is null or t.unit in (select code from rollout.below(%(unit)s, %(at)s)))
  and (%(after)s = 0 or t.ticket_id < %(after)s)
order by t.ticket_id desc
limit %(limit)s

-- name: history
select number, at, actor, action, from_state, to_state, tier, assignee, release, reason, worked_s
from rollout.ticket_step where ticket_id = %(ticket_id)s and at <= %(at)s
order by number

-- name: body
select body from rollout.ticket where ticket_id = %(ticket_id)s

-- name: add_knowledge
insert into rollout.knowledge (ticket_id, title, body, at, actor)
values (%(ticket_id)s, %(title)s, %(body)s, %(at)s, %(actor)s)
returning knowledge_id

-- name: knowledge
select knowledge_id, ticket_id, title, body, at, actor
from rollout.knowledge
where (%(text)s::text is null or position(lower(%(text)s) in lower(title || ' ' || body)) > 0)
  and (%(after)s = 0 or knowledge_id < %(after)s)
order by knowledge_id desc
limit %(limit)s

-- name: add_release
insert into rollout.release (code, name, changes, at, actor)
values (%(code)s, %(name)s, %(changes)s, %(at)s, %(actor)s)
returning release_id

-- name: add_release_step
insert into rollout.release_step (release, action, unit, note, at, actor)
values (%(release)s, %(action)s, %(unit)s, %(note)s, %(at)s, %(actor)s)
returning step_id

-- name: lock_release
select pg_advisory_xact_lock(hashtextextended('rollout release ' || %(release)s, 0))

-- name: releases
-- Where each is deployed, who has confirmed it since, and which units have not.
select
  r.release_id, r.code, r.name, r.changes, r.at, r.actor,
  coalesce(d.deployed, '{}') as deployed,
  coalesce(d.confirmed, '{}') as confirmed,
  coalesce(d.rolled_back, '{}') as rolled_back,
  array(
    select t.ticket_id from rollout.tickets_at(%(at)s) t where t.release = r.code order by t.ticket_id
  ) as tickets
from rollout.release r
left join lateral (
  select
    array_agg(l.unit order by l.unit) filter (where l.action <> 'roll_back') as deployed,
    array_agg(l.unit order by l.unit) filter (where l.action = 'confirm') as confirmed,
    array_agg(l.unit order by l.unit) filter (where l.action = 'roll_back') as rolled_back
  from (
    select distinct on (s.unit) s.unit, s.action
    from rollout.release_step s
    where s.release = r.code and s.at <= %(at)s
    order by s.unit, s.step_id desc
  ) l
) d on true
where r.at <= %(at)s and (%(code)s::text is null or r.code = %(code)s) and (%(after)s = 0 or r.release_id < %(after)s)
order by r.release_id desc
limit %(limit)s

-- name: release_steps
select action, unit, note, at, actor
from rollout.release_step where release = %(code)s and at <= %(at)s
order by step_id

-- name: release_standing
select action from rollout.release_step where release = %(release)s and unit = %(unit)s order by step_id desc limit 1

-- name: units
-- The units of the roll-out: those below the utility as a whole, which answer for themselves.
select o.code
from grid.organisation o
join grid.organisation_state s using (organisation_id)
where o.kind = 'unit' and s.parent_id is not null and s.valid @> %(at)s::timestamptz and s.recorded @> %(at)s::timestamptz
order by o.code
