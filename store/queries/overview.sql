-- name: progress
-- Rows of the last two days only: the demonstration fills the past day.
select
  count(*) filter (where u.kind = 'area' and l.coverage = 1) as areas,
  count(*) filter (where u.kind = 'feeder' and l.coverage = 1) as feeders,
  count(*) filter (where u.kind = 'area') as area_rows,
  count(*) filter (where u.kind = 'feeder') as feeder_rows,
  max(l.observed_at) as newest,
  max(l.recorded_at) as recorded_at,
  coalesce(max(extract(epoch from l.recorded_at - l.received_at)) filter (where l.recorded_at > now() - interval '10 seconds'), 0)::float8
from loss.balance l
join grid.unit u using (unit_id)
where l.observed_at > now() - interval '2 days'

-- name: units
select kind, count(*) from grid.unit group by kind

-- name: feeders
select
  u.code,
  sum(l.inflow_wh)::bigint,
  sum(l.loss_wh)::bigint,
  sum(l.loss_wh + l.members_loss_wh)::bigint,
  sum(l.sigma_wh)::float8,
  max(l.observed_at)
from loss.balance l
join grid.unit u using (unit_id)
where u.kind = 'feeder' and l.computable and l.observed_at > now() - interval '24 hours'
group by u.code
order by sum(l.loss_wh)::float8 / nullif(sum(l.inflow_wh), 0) desc nulls last
limit %(limit)s

-- name: areas
select
  u.code,
  sum(l.inflow_wh)::bigint,
  sum(l.loss_wh)::bigint,
  sum(l.sigma_wh)::float8,
  max(l.observed_at)
from loss.balance l
join grid.unit u using (unit_id)
where u.kind = 'area' and l.computable and l.observed_at > now() - interval '24 hours'
group by u.code
having sum(l.inflow_wh) > 0
order by sum(l.loss_wh)::float8 / sum(l.inflow_wh) desc
limit %(limit)s

-- name: alerts
select u.code, a.kind, a.severity, a.opened_at
from alerts.alert a
join grid.unit u using (unit_id)
where a.state not in ('resolved', 'closed')
order by a.opened_at desc
limit %(limit)s

-- name: rejected
select reason, sum(seen)::bigint from telemetry.rejected where replayed_at is null group by reason order by 2 desc
