-- name: lock
select pg_try_advisory_xact_lock(hashtextextended('alert evaluation', 0))

-- name: recorded
select unit_id, recorded_at, coalesce(max(abs(loss_wh)::float8 / nullif(inflow_wh, 0)), 0)
from loss.balance
where recorded_at >= %(since)s
group by unit_id, recorded_at

-- name: units_after
select unit_id from grid.unit where unit_id > %(unit_id)s order by unit_id limit %(limit)s

-- name: window
-- Of all units, or of those named. Linear sum of the deviations: see alerts/rules.py.
select
  u.unit_id,
  u.code,
  u.kind,
  u.name,
  s.supply_wh,
  s.loss_wh,
  s.sigma_wh,
  s.seconds / 3600.0::float8,
  s.intervals,
  s.since,
  s.until,
  b.medium_voltage_v
from (
  select
    unit_id,
    sum(inflow_wh)::bigint as supply_wh,
    sum(loss_wh)::bigint as loss_wh,
    sum(sigma_wh) as sigma_wh,
    sum(interval_s) as seconds,
    count(*) as intervals,
    min(observed_at - interval_s * interval '1 second') as since,
    max(observed_at) as until
  from loss.balance
  where observed_at > %(start)s
    and observed_at <= %(stop)s
    and (%(unit_ids)s::integer[] is null or unit_id = any(%(unit_ids)s::integer[]))
    -- Days stand beside the shorter intervals.
    and interval_s <= 3600
    and computable
    -- NaN is greater than all.
    and coverage between %(min_coverage)s and 1
  group by unit_id
) s
join grid.unit u using (unit_id)
left join grid.substation b on b.code = u.substation
order by u.unit_id

-- name: add
with added as (
  insert into alerts.alert (
    fingerprint, kind, severity, unit_id, opened_at, updated_at, evidence, meter, role, group_key, escalate_at,
    told_severity, told_meters
  )
  select
    fingerprint, kind, severity, unit_id, opened_at, opened_at, figures, meter, role, group_key, escalate_at, severity,
    meters
  from json_to_recordset(%(rows)s::json) as n (
    fingerprint text, kind text, severity text, unit_id integer, opened_at timestamptz, figures jsonb, meter text,
    role text, group_key text, escalate_at timestamptz, meters bigint
  )
  -- One may have been reopened a moment ago.
  on conflict (fingerprint) where state not in ('resolved', 'closed') do nothing
  returning alert_id, fingerprint, opened_at
), told as (
  insert into alerts.transition (alert_id, at, actor, action, from_state, to_state, reason)
  select alert_id, opened_at, 'meterline', 'open', null, 'open', %(reason)s from added
)
select fingerprint, alert_id from added

-- name: update
update alerts.alert a
set severity = n.severity, updated_at = n.at, evidence = n.figures
from json_to_recordset(%(rows)s::json) as n (alert_id bigint, severity text, at timestamptz, figures jsonb)
where a.alert_id = n.alert_id

-- name: told
update alerts.alert a
set told_severity = n.severity, told_meters = n.meters
from json_to_recordset(%(rows)s::json) as n (alert_id bigint, severity text, meters bigint)
where a.alert_id = n.alert_id

-- name: resolve
-- What a person has ended meanwhile stays as it is.
with named as (
  select alert_id, figures from json_to_recordset(%(rows)s::json) as n (alert_id bigint, figures jsonb)
), before as materialized (
  select a.alert_id, a.state, n.figures
  from alerts.alert a
  join named n using (alert_id)
  where a.state not in ('resolved', 'closed')
  order by a.alert_id
  for update of a
), changed as (
  update alerts.alert a
  set
    state = 'resolved', updated_at = %(at)s, resolved_at = %(at)s, evidence = b.figures, escalate_at = null,
    suppressed_until = null, version = version + 1
  from before b
  where a.alert_id = b.alert_id
  returning a.alert_id, b.state as from_state
), noted as (
  insert into alerts.transition (alert_id, at, actor, action, from_state, to_state, reason)
  select alert_id, %(at)s, 'meterline', 'resolve', from_state, 'resolved', %(reason)s from changed
)
select alert_id, from_state from changed

-- name: lock_alerts
select from alerts.alert where alert_id = any(%(alert_ids)s) order by alert_id for update

-- name: read
select
  a.alert_id, a.fingerprint, a.kind, a.severity, a.state, a.unit_id, u.code, u.kind, u.name, a.meter, a.role,
  a.group_key, a.assignee, a.opened_at, a.updated_at, a.resolved_at, a.closed_at, a.suppressed_until, a.outcome,
  a.tier, a.version, a.expected_at, a.evidence
from alerts.alert a
join grid.unit u using (unit_id)
where a.alert_id = any(%(alert_ids)s)
order by a.alert_id

-- name: list
select
  a.alert_id, a.fingerprint, a.kind, a.severity, a.state, a.unit_id, u.code, u.kind, u.name, a.meter, a.role,
  a.group_key, a.assignee, a.opened_at, a.updated_at, a.resolved_at, a.closed_at, a.suppressed_until, a.outcome,
  a.tier, a.version, a.expected_at, a.evidence
from alerts.alert a
join grid.unit u using (unit_id)
where (%(states)s::text[] is null or a.state = any(%(states)s))
  and (%(kinds)s::text[] is null or a.kind = any(%(kinds)s))
  and (%(severity)s::text is null or a.severity = %(severity)s)
  and (%(unit)s::text is null or a.unit_id = (select unit_id from grid.unit where code = %(unit)s))
  and (%(meter)s::text is null or a.meter = %(meter)s)
  and (%(role)s::text is null or a.role = %(role)s)
  and (%(assignee)s::text is null or a.assignee = %(assignee)s)
  and (%(group)s::text is null or a.group_key = %(group)s)
  and (%(opened_from)s::timestamptz is null or a.opened_at >= %(opened_from)s)
  and (%(opened_to)s::timestamptz is null or a.opened_at < %(opened_to)s)
  and (%(closed_from)s::timestamptz is null or a.closed_at >= %(closed_from)s)
  and (%(closed_to)s::timestamptz is null or a.closed_at < %(closed_to)s)
  and (%(after)s = 0 or a.alert_id < %(after)s)
order by a.alert_id desc
limit %(limit)s

-- name: change
with before as (
  select alert_id, state from alerts.alert where alert_id = %(alert_id)s
), changed as (
  update alerts.alert
  set
    state = %(state)s,
    updated_at = greatest(updated_at, %(at)s),
    assignee = coalesce(%(assignee)s, assignee),
    suppressed_until = %(suppressed_until)s,
    outcome = case when %(action)s = 'reopen' then null else coalesce(%(outcome)s, outcome) end,
    resolved_at = case
      when %(state)s = 'resolved' then coalesce(resolved_at, %(at)s)
      when %(state)s = 'closed' then resolved_at
    end,
    closed_at = case when %(state)s = 'closed' then coalesce(closed_at, %(at)s) end,
    tier = case when %(action)s = 'reopen' then 0 else coalesce(%(tier)s, tier) end,
    expected_at = case when %(action)s <> 'reopen' then coalesce(%(expected_at)s, expected_at) end,
    escalate_at = case when %(state)s = 'open' then
      case when %(action)s in ('escalate', 'reopen') then %(escalate_at)s::timestamptz else escalate_at end
    end,
    -- What is news only to who knows it open doesn't take the place of what isn't told yet.
    event = case when %(event)s = 'updated' then coalesce(event, %(event)s) else coalesce(%(event)s, event) end,
    version = version + 1
  where alert_id = %(alert_id)s
)
insert into alerts.transition (alert_id, at, actor, action, from_state, to_state, reason)
select alert_id, %(at)s, %(actor)s, %(action)s, state, %(state)s, %(reason)s from before

-- name: history
select at, actor, action, from_state, to_state, reason
from alerts.transition
where alert_id = %(alert_id)s
order by transition_id

-- name: escalate_at
update alerts.alert a
set escalate_at = n.escalate_at
from json_to_recordset(%(rows)s::json) as n (alert_id bigint, escalate_at timestamptz)
where a.alert_id = n.alert_id and a.state = 'open'

-- name: due_escalations
select alert_id, escalate_at
from alerts.alert
where state = 'open' and escalate_at <= %(now)s
order by escalate_at
limit %(limit)s
for update skip locked

-- name: ended_suppressions
select alert_id
from alerts.alert
where state = 'suppressed' and suppressed_until <= %(now)s
order by suppressed_until
limit %(limit)s
for update skip locked

-- name: take_events
with taken as (
  select alert_id, event from alerts.alert where event is not null order by alert_id limit %(limit)s
  for update skip locked
)
update alerts.alert a set event = null from taken t where a.alert_id = t.alert_id
returning a.alert_id, t.event
