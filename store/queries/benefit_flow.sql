-- Steps of cases that began in [since, until], as they were known at an instant: those of a case one after the other. Who
-- took them is a number within the case; no name leaves the database. `older`: of cases that began before `since` those
-- that may still be owed something, the oldest first.
--
-- Columns: case, kind, at, action, stage after it, stage before it, department that has it then, department that took it,
-- as what it was taken, by which person of the case, approvals needed, whether the grid model is to be changed.

-- name: alert
select
  a.alert_id, a.kind, t.at, t.action, t.to_state, t.from_state, a.role, a.role,
  case
    when t.actor = 'meterline' then 'system'
    when exists (select from alerts.work_order w where w.alert_id = a.alert_id and w.done_at = t.at) then 'crew'
    else 'operator'
  end,
  dense_rank() over (partition by a.alert_id order by t.actor), 1, false
from (
  select a.alert_id, a.kind, a.role from alerts.alert a
  where case when not %(older)s then a.opened_at >= %(since)s and a.opened_at <= %(at)s
    else a.opened_at < %(since)s and (
      a.updated_at > %(at)s or a.state in ('open', 'acknowledged', 'in_progress')
      or a.state = 'resolved' and 'meterline' <> (
        select t.actor from alerts.transition t where t.alert_id = a.alert_id order by t.transition_id desc limit 1
      )
    )
  end
  order by case when %(older)s then a.alert_id else -a.alert_id end
  limit %(limit)s
) a
join alerts.transition t using (alert_id)
where t.at <= %(at)s
order by a.alert_id, t.transition_id

-- name: ticket
-- A tier of the desk has it while it is open or worked on; then who asked, until it is closed.
select
  t.ticket_id, t.kind, s.at, s.action, s.to_state, s.from_state,
  case when s.to_state in ('open', 'in_progress') then 'desk tier ' || s.tier else t.unit end,
  'desk tier ' || s.tier,
  case when s.number = 1 then 'author' else 'desk' end,
  dense_rank() over (partition by t.ticket_id order by s.actor), 1, false
from (
  select k.ticket_id, k.kind, k.unit from rollout.ticket k
  where case when not %(older)s then k.at >= %(since)s and k.at <= %(at)s
    else k.at < %(since)s and 'closed' <> (
      select s.to_state from rollout.ticket_step s
      where s.ticket_id = k.ticket_id and s.at <= %(at)s
      order by s.number desc limit 1
    )
  end
  order by case when %(older)s then k.ticket_id else -k.ticket_id end
  limit %(limit)s
) t
join rollout.ticket_step s using (ticket_id)
where s.at <= %(at)s
order by t.ticket_id, s.number

-- name: conflict
-- Where a proposal stands after a step isn't recorded: the rules of proposals say it.
with cases as (
  select c.conflict_id, c.kind, c.department, b.begun_at
  from (
    select conflict_id, min(at) filter (where is_open) as begun_at
    from rollout.conflict_step
    where at <= %(at)s
    group by conflict_id
    having case when not %(older)s then min(at) filter (where is_open) >= %(since)s
      else min(at) filter (where is_open) < %(since)s and (array_agg(is_open order by at desc, is_open))[1]
    end
    order by case when %(older)s then conflict_id else -conflict_id end
    limit %(limit)s
  ) b
  join sync.conflict c using (conflict_id)
), steps as (
  select
    c.conflict_id, s.at, case when s.is_open then 0 else 3 end as turn, 0::bigint as number,
    case when not s.is_open then 'close' when s.at = c.begun_at then 'open' else 'reopen' end as action,
    case when s.is_open then 'unproposed' else 'closed' end as stage,
    'meterline' as actor, c.department, null::bigint as proposal_id
  from cases c join rollout.conflict_step s using (conflict_id)
  union all
  select c.conflict_id, p.proposed_at, 1, p.proposal_id, 'propose', 'open', p.proposed_by, c.department, p.proposal_id
  from cases c join sync.proposal p using (conflict_id)
  union all
  select c.conflict_id, e.at, 2, e.event_id, e.action, null, e.by_whom, e.department, p.proposal_id
  from cases c join sync.proposal p using (conflict_id) join sync.proposal_event e using (proposal_id)
)
select
  c.conflict_id, c.kind, s.at, s.action, s.stage, null,
  c.department, s.department,
  case
    when s.turn in (0, 3) then 'system'
    when s.turn = 1 or s.action = 'withdraw' then 'author'
    else 'reviewer'
  end,
  dense_rank() over (partition by c.conflict_id order by s.actor),
  coalesce(p.approvals_needed, 1), coalesce(p.target = 'model', false)
from steps s
join cases c using (conflict_id)
left join sync.proposal p using (proposal_id)
where s.at <= %(at)s
order by c.conflict_id, s.at, s.turn, s.number

-- name: delivery
-- Of a change that came of a proposal, to each system that holds a copy; a case is a delivery.
with cases as (
  select
    d.outbox_id, c.kind, d.target, d.delivered_at, d.read_at,
    d.to_read or d.read_at is not null as reads, a.applied_at
  from (
    select p.outbox_id, p.conflict_id, max(e.at) as applied_at
    from sync.proposal p
    join sync.proposal_event e using (proposal_id)
    where p.outbox_id is not null and e.action in ('approve', 'undo') and e.at <= %(at)s
    group by p.proposal_id
    having case when not %(older)s then max(e.at) >= %(since)s
      else max(e.at) < %(since)s and exists (
        select from sync.delivery d
        where d.outbox_id = p.outbox_id
          and (d.delivered_at is null or d.delivered_at > %(at)s or d.to_read or d.read_at > %(at)s)
      )
    end
    order by case when %(older)s then p.proposal_id else -p.proposal_id end
    limit %(limit)s
  ) a
  join sync.conflict c using (conflict_id)
  join sync.delivery d using (outbox_id)
)
select outbox_id || ' ' || target, kind, at, action, stage, before, target, target, 'system', 1, 1, false
from (
  select c.*, c.applied_at as at, 1 as turn, 'owe' as action, 'owed' as stage, null as before from cases c
  union all
  select c.*, c.delivered_at, 2, case when c.reads then 'deliver' else 'tell' end,
    case when c.reads then 'delivered' else 'told' end, 'owed'
  from cases c
  union all
  select c.*, c.read_at, 3, 'read_back', 'read_back', 'delivered' from cases c
) s
where at <= %(at)s
order by outbox_id, target, turn
