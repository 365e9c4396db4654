-- name: progress
-- Rows of the last two days only: the demonstration fills the past day. Rates and delay are those of the last minute,
-- since live intervals are a minute long. A feeder's members are units, whose readings are counted already.
with roster as (
  select unit_id, count(*) as meters
  from grid.member
  where meter is not null and upper_inf(valid) and upper_inf(recorded)
  group by unit_id
), row as (
  select l.*, u.kind, coalesce(r.meters, 0) as meters, l.recorded_at > now() - interval '1 minute' as is_new
  from loss.balance l
  join grid.unit u using (unit_id)
  left join roster r using (unit_id)
  where l.observed_at > now() - interval '2 days' and l.interval_s <= 3600
)
select
  count(*) filter (where kind = 'area' and coverage = 1) as area_intervals,
  count(*) filter (where kind = 'feeder' and coverage = 1) as feeder_intervals,
  count(distinct unit_id) filter (where kind = 'area' and coverage = 1) as areas,
  count(distinct unit_id) filter (where kind = 'feeder' and coverage = 1) as feeders,
  max(observed_at) as newest,
  max(recorded_at) as recorded_at,
  (coalesce(sum(coverage * meters) filter (where is_new and kind in ('area', 'dedicated')), 0) / 60)::float8 as readings_per_s,
  (max(extract(epoch from recorded_at - received_at)) filter (where is_new))::float8 as delay_s
from row

-- name: units
select kind, count(*) from grid.unit group by kind

-- name: feeders
-- Every feeder: one without a computable interval stands last.
select
  u.code,
  coalesce(sum(l.inflow_wh) filter (where l.computable), 0)::bigint,
  coalesce(sum(l.loss_wh) filter (where l.computable), 0)::bigint,
  coalesce(sum(l.loss_wh + l.members_loss_wh) filter (where l.computable), 0)::bigint,
  coalesce(sum(l.sigma_wh) filter (where l.computable), 0)::float8,
  count(l.unit_id),
  max(l.observed_at) filter (where l.computable),
  (array_agg(l.interval_s order by l.observed_at desc) filter (where l.computable))[1]
from grid.unit u
left join loss.balance l on l.unit_id = u.unit_id and l.observed_at > now() - interval '24 hours' and l.interval_s <= 3600
where u.kind = 'feeder'
group by u.code
order by sum(l.loss_wh) filter (where l.computable)::float8
  / nullif(sum(l.inflow_wh) filter (where l.computable), 0) desc nulls last, u.code
limit %(limit)s

-- name: areas
select
  u.code,
  sum(l.inflow_wh)::bigint,
  sum(l.loss_wh)::bigint,
  sum(l.sigma_wh)::float8,
  max(l.observed_at),
  (array_agg(l.interval_s order by l.observed_at desc))[1]
from loss.balance l
join grid.unit u using (unit_id)
where u.kind = 'area' and l.computable and l.observed_at > now() - interval '24 hours' and l.interval_s <= 3600
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
