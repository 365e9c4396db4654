-- name: units
select code, unit_id, kind from grid.unit

-- name: balances
-- One row of arrays; NULL arrays where there is nothing.
select
  array_agg(unit_id::bigint),
  array_agg((extract(epoch from observed_at) * 1000000)::bigint),
  array_agg(interval_s::bigint),
  array_agg(loss_wh),
  array_agg(sigma_wh),
  array_agg(computable::int::bigint)
from loss.balance
where observed_at >= %(first)s
  and observed_at <= %(last)s
  and unit_id = any(%(unit_ids)s)

-- name: alerts
-- With the energy that each is about, as far as it says.
select
  a.alert_id,
  a.severity,
  u.code,
  a.meter,
  extract(epoch from a.opened_at)::float8,
  coalesce(abs((a.evidence ->> 'loss_wh')::float8), (a.evidence ->> 'expected_wh')::float8, 0)
from alerts.alert a
join grid.unit u using (unit_id)
where a.opened_at >= %(first)s
  and a.opened_at <= %(last)s
order by a.alert_id

-- name: alerts_outside
select count(*) from alerts.alert where opened_at < %(first)s or opened_at > %(last)s

-- name: names_meters
-- Whether the use of meters was looked at, so that alerts can be about one.
select exists (select from usage.area) or exists (select from alerts.alert where meter is not null)

-- name: is_compared
select exists (select from usage.association)

-- name: concluded
-- Of each meter whose record was doubted, newest: area and phase where it seems to be; NULL = not said.
select distinct on (meter)
  meter,
  coalesce(evidence -> 'voltage' ->> 'found_area', evidence -> 'repair' ->> 'found_area'),
  evidence -> 'voltage' ->> 'found_phase'
from usage.finding
where source = 'records'
  and meter is not null
  and opened_at > %(first)s
  and opened_at <= %(last)s
order by meter, seen_at desc, finding_id desc

-- name: device_events
-- Of these units, received first at the last column.
select
  u.code,
  e.meter,
  e.kind,
  (extract(epoch from e.observed_at) * 1000000)::bigint,
  (extract(epoch from e.received_at) * 1000000)::bigint
from telemetry.event e
join grid.unit u using (unit_id)
where e.unit_id = any(%(unit_ids)s)
  and e.observed_at >= %(first)s
  and e.observed_at < %(last)s

-- name: units_of_meters
-- Wherever a meter ever hung, as far as is believed now.
select distinct m.meter, u.code
from grid.member m
join grid.unit u using (unit_id)
where m.meter = any(%(meters)s)
  and upper_inf(m.recorded)
order by 1, 2

-- name: meters_of_accounts
select distinct a.code, m.code
from grid.account a
join grid.service s using (account_id)
join grid.installation i using (usage_point_id)
join grid.meter m using (meter_id)
where a.code = any(%(accounts)s)
  and upper_inf(s.recorded)
  and upper_inf(i.recorded)
order by 1, 2
