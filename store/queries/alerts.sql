-- name: lock
select pg_try_advisory_xact_lock(hashtextextended('alert evaluation', 0))

-- name: window
-- Linear sum of the deviations: see alerts/rules.py.
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
  s.until
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
    -- Days stand beside the shorter intervals.
    and interval_s <= 3600
    and computable
    -- NaN is greater than all.
    and coverage between %(min_coverage)s and 1
  group by unit_id
) s
join grid.unit u using (unit_id)
order by u.unit_id

-- name: open
select fingerprint, alert_id, kind, severity, state, opened_at, evidence
from alerts.alert
where state not in ('resolved', 'closed')
for update

-- name: add
insert into alerts.alert (fingerprint, kind, severity, unit_id, opened_at, updated_at, evidence)
values (%(fingerprint)s, %(kind)s, %(severity)s, %(unit_id)s, %(at)s, %(at)s, %(evidence)s)
returning alert_id

-- name: update
update alerts.alert
set severity = %(severity)s, updated_at = %(at)s, evidence = %(evidence)s
where alert_id = %(alert_id)s

-- name: resolve
update alerts.alert
set state = 'resolved', updated_at = %(at)s, evidence = %(evidence)s
where alert_id = %(alert_id)s
