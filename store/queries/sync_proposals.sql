-- name: propose
insert into sync.proposal (
  conflict_id, target, change, inverse, before, after, state, approvals_needed, proposed_by, reason, proposed_at, due_at
) values (
  %(conflict_id)s, %(target)s, %(change)s, %(inverse)s, %(before)s, %(after)s, 'open', %(approvals_needed)s, %(by)s,
  %(reason)s, %(at)s, %(due_at)s
)
on conflict (conflict_id) where state in ('open', 'approved') do nothing
returning proposal_id

-- name: to_propose
select c.conflict_id, c.kind, c.entity_kind, e.code, c.field, c.system, c.dataset, c.key, c.believed, c.given, c.said
from sync.conflict c left join sync.entity e using (entity_id)
where c.closed_at is null
  and c.conflict_id = any(%(ids)s)
order by c.conflict_id

-- name: ids_to_propose
select c.conflict_id
from sync.conflict c
where c.closed_at is null
  and (%(kind)s::text is null or c.kind = %(kind)s)
  and (%(system)s::text is null or c.system = %(system)s)
  and c.confidence >= %(confidence)s
  and not exists (
    select from sync.proposal p
    where p.conflict_id = c.conflict_id and (p.state in ('open', 'approved') or (p.state = 'refused' and p.proposed_at >= c.opened_at))
  )
order by c.conflict_id
limit %(limit)s

-- name: locked
select p.state, p.proposed_by, p.approvals_needed, p.target, p.change, p.inverse,
  (
    select coalesce(array_agg(e.by_whom order by e.event_id), '{}') from sync.proposal_event e
    where e.proposal_id = p.proposal_id and e.action = 'approve' and e.revision = p.revision
  ),
  p.version, p.corrected_by, p.before, p.after
from sync.proposal p
where p.proposal_id = %(proposal_id)s
for update of p

-- name: correct
update sync.proposal
set after = %(after)s, change = %(change)s, inverse = %(inverse)s, corrected_by = %(by)s, revision = revision + 1,
  version = version + 1
where proposal_id = %(proposal_id)s

-- name: about
select c.entity_kind, e.code, c.field
from sync.proposal p
join sync.conflict c using (conflict_id)
left join sync.entity e using (entity_id)
where p.proposal_id = %(proposal_id)s

-- name: event
insert into sync.proposal_event (proposal_id, action, by_whom, department, reason, at, revision)
values (
  %(proposal_id)s, %(action)s, %(by)s, %(department)s, %(reason)s, %(at)s,
  (select revision from sync.proposal where proposal_id = %(proposal_id)s)
)

-- name: settle
update sync.proposal
set state = %(state)s, outbox_id = coalesce(%(outbox_id)s, outbox_id), version = version + 1
where proposal_id = %(proposal_id)s

-- name: listed
select
  p.proposal_id, p.conflict_id, c.kind, e.code, c.field, p.target, p.before, p.after, p.state, p.approvals_needed,
  (
    select coalesce(array_agg(v.by_whom order by v.event_id), '{}') from sync.proposal_event v
    where v.proposal_id = p.proposal_id and v.action = 'approve' and v.revision = p.revision
  ) as approved_by,
  p.proposed_by, p.corrected_by, p.proposed_at, p.due_at, p.due_at < now() and p.state = 'open' as overdue, p.outbox_id
from sync.proposal p
left join sync.conflict c using (conflict_id)
left join sync.entity e using (entity_id)
where (%(state)s::text is null or p.state = %(state)s)
  and (%(target)s::text is null or p.target = %(target)s)
  and (%(after)s = 0 or p.proposal_id < %(after)s)
order by p.proposal_id desc
limit %(limit)s

-- name: shown
select
  p.*,
  (
    select jsonb_agg(to_jsonb(v) order by v.event_id) from sync.proposal_event v where v.proposal_id = p.proposal_id
  ) as events
from sync.proposal p
where p.proposal_id = %(proposal_id)s

-- name: counts
select state, count(*) from sync.proposal group by state order by state
