-- name: lock
-- One at a time, and the other doesn't wait.
select through from usage.progress for update skip locked

-- name: advance
update usage.progress set through = %(until)s

-- name: changed
-- Local days of areas whose intervals have changed, by unit and day. An interval is of the day in which it ends.
select b.unit_id, ((b.observed_at - interval '1 microsecond') at time zone %(zone)s)::date as day
from loss.balance b
join grid.unit u using (unit_id)
where b.recorded_at > %(through)s and b.recorded_at <= %(until)s and u.kind in ('area', 'dedicated')
  and b.interval_s <= 3600
group by 1, 2
order by 1, 2

-- name: areas
select unit_id, first_day, through from usage.area where unit_id = any(%(unit_ids)s)

-- name: add_area
insert into usage.area (unit_id, first_day) values (%(unit_id)s, %(first_day)s)
on conflict (unit_id) do update set first_day = excluded.first_day, through = null

-- name: due
select a.unit_id, u.code, a.first_day, a.through
from usage.area a
join grid.unit u using (unit_id)
where a.first_day <= %(day)s and (a.through is null or a.through < %(day)s)
  and (%(unit)s::text is null or u.code = %(unit)s)
order by a.through nulls first, a.unit_id
limit %(limit)s

-- name: lock_area
select a.unit_id, u.code, a.first_day, a.through
from usage.area a
join grid.unit u using (unit_id)
where a.unit_id = %(unit_id)s
for update of a

-- name: set_through
update usage.area set through = %(day)s where unit_id = %(unit_id)s

-- name: days
-- Intervals of an area, by their ends. The bounds let the planner leave out chunks.
select
  (extract(epoch from b.observed_at) * 1000000)::bigint, b.interval_s, b.import_wh, b.export_wh, b.quality,
  l.computable, l.inflow_wh, l.loss_wh, l.technical_wh,
  sqrt(l.sigma_wh ^ 2 + l.gap_sigma_wh ^ 2), l.systematic_sigma_wh
from telemetry.block b
join loss.balance l
  on l.unit_id = b.unit_id and l.observed_at = b.observed_at and l.interval_s = b.interval_s
  and l.observed_at > %(begin)s and l.observed_at <= %(end)s
where b.unit_id = %(unit_id)s and b.observed_at > %(begin)s and b.observed_at <= %(end)s and b.interval_s <= 3600
order by b.observed_at, b.interval_s

-- name: accounts
-- Accounts of customers' meters as they were at an instant, and what has changed since another. `is true` keeps the
-- planner from indexes of periods: see views.sql.
select
  m.position, m.meter, s.tariff_class, coalesce(s.contract_w, 0)::bigint, s.status = 'active' is true,
  lower(v.valid) > %(since)s is true,
  exists (
    select from grid.account_state o
    where o.account_id = s.account_id and (o.recorded @> 'infinity'::timestamptz) is true
      and upper(o.valid) > %(since)s and upper(o.valid) <= lower(s.valid) and o.tariff_class <> s.tariff_class
  ),
  lower(m.valid) > %(since)s is true or lower(i.valid) > %(since)s is true
from grid.member m
left join grid.installation i
  on i.meter_id = m.meter_id and (i.recorded @> 'infinity'::timestamptz) is true and (i.valid @> %(at)s::timestamptz) is true
left join grid.service v
  on v.usage_point_id = i.usage_point_id and (v.recorded @> 'infinity'::timestamptz) is true
  and (v.valid @> %(at)s::timestamptz) is true
left join grid.account_state s
  on s.account_id = v.account_id and (s.recorded @> 'infinity'::timestamptz) is true and (s.valid @> %(at)s::timestamptz) is true
where m.unit_id = %(unit_id)s and m.meter is not null and m.role & 2 = 2
  and (m.recorded @> 'infinity'::timestamptz) is true and (m.valid @> %(at)s::timestamptz) is true
order by m.position

-- name: state_before
select day, version, state from usage.state
where unit_id = %(unit_id)s and day < %(day)s order by day desc limit 1

-- name: write_state
insert into usage.state (unit_id, day, version, state) values (%(unit_id)s, %(day)s, %(version)s, %(state)s)
on conflict (unit_id, day) do update set version = excluded.version, state = excluded.state

-- name: thin_states
-- What stays: the newest, and the last of each month while late data are folded again.
delete from usage.state
where unit_id = %(unit_id)s and day < %(newest)s
  and (day < %(oldest)s or extract(day from day + 1) <> 1)

-- name: thin_days
delete from usage.area_day where unit_id = %(unit_id)s and day < %(oldest)s

-- name: thin_conclusions
delete from usage.conclusion where unit_id = %(unit_id)s and day < %(oldest)s

-- name: forget_states
delete from usage.state where unit_id = %(unit_id)s and day >= %(day)s

-- name: forget_days
delete from usage.area_day where unit_id = %(unit_id)s and day >= %(day)s

-- name: forget_conclusions
delete from usage.conclusion where unit_id = %(unit_id)s and day >= %(day)s

-- name: area_days
select day, digest, chain, readings, supply_wh, loss_wh, unexplained_wh, sigma_wh, abnormal
from usage.area_day
where unit_id = %(unit_id)s and day between %(first)s and %(last)s
order by day

-- name: write_day
insert into usage.area_day (
  unit_id, day, digest, chain, readings, supply_wh, loss_wh, unexplained_wh, sigma_wh, abnormal
) values (
  %(unit_id)s, %(day)s, %(digest)s, %(chain)s, %(readings)s, %(supply_wh)s, %(loss_wh)s, %(unexplained_wh)s,
  %(sigma_wh)s, %(abnormal)s
)

-- name: write_conclusions
insert into usage.conclusion (
  unit_id, day, meter, kind, confidence, begin_day, expected_wh, tariff_class, reasons, evidence
)
select
  %(unit_id)s, %(day)s, n ->> 'meter', n ->> 'kind', (n ->> 'confidence')::real, (n ->> 'begin_day')::date,
  (n ->> 'expected_wh')::bigint, n ->> 'tariff_class',
  array(select jsonb_array_elements_text(n -> 'reasons')), n -> 'evidence'
from jsonb_array_elements(%(conclusions)s::jsonb) as n

-- name: conclusions
select day, meter, kind, confidence, begin_day, expected_wh, tariff_class, reasons, evidence
from usage.conclusion
where unit_id = %(unit_id)s and day between %(first)s and %(last)s
order by meter, day

-- name: daily_findings
-- Of an area, those that hold or were seen since an instant; what a live rule says of a contract goes on as a daily one.
select finding_id, meter, kind, source, opened_at, seen_at, ended_at, alert_finding_id
from usage.finding
where unit_id = %(unit_id)s and (source = 'daily' or (source = 'live' and kind = 'no_contract' and ended_at is null))
  and (ended_at is null or ended_at >= %(since)s)
order by finding_id

-- name: add_findings
-- In the order given, so that their numbers rise with it.
insert into usage.finding (
  unit_id, meter, kind, source, confidence, begin_at, opened_at, seen_at, ended_at, expected_wh, expected_money,
  reasons, evidence
) select
  r.unit_id, r.meter, r.kind, r.source, r.confidence, r.begin_at, r.opened_at, r.seen_at, r.ended_at, r.expected_wh,
  r.expected_money, r.reasons, r.evidence
from json_to_recordset(%(rows)s::json) as r (
  n integer, unit_id integer, meter text, kind text, source text, confidence real, begin_at timestamptz,
  opened_at timestamptz, seen_at timestamptz, ended_at timestamptz, expected_wh bigint,
  expected_money double precision, reasons text[], evidence jsonb
)
order by r.n
returning finding_id, unit_id, meter, kind, opened_at

-- name: update_finding
update usage.finding
set source = case when source = 'live' then 'daily' else source end, confidence = %(confidence)s, begin_at = %(begin_at)s, opened_at = %(opened_at)s, seen_at = %(seen_at)s,
  ended_at = %(ended_at)s, expected_wh = %(expected_wh)s, expected_money = %(expected_money)s, reasons = %(reasons)s,
  evidence = %(evidence)s
where finding_id = %(finding_id)s

-- name: end_findings
update usage.finding f
set ended_at = e.ended_at
from unnest(%(finding_ids)s::bigint[], %(ended_at)s::timestamptz[]) as e (finding_id, ended_at)
where f.finding_id = e.finding_id and f.ended_at is null

-- name: link_alerts
update usage.finding f
set alert_finding_id = a.finding_id
from alerts.finding a
where f.finding_id = any(%(finding_ids)s) and a.fingerprint = 'usage:' || f.finding_id
  and f.alert_finding_id is null

-- name: list_findings
select
  f.finding_id, u.code, f.meter, f.kind, f.source, f.confidence, f.begin_at, f.opened_at, f.seen_at, f.ended_at,
  f.expected_wh, f.expected_money, f.reasons, a.alert_id, r.result
from usage.finding f
join grid.unit u using (unit_id)
left join alerts.finding a on a.finding_id = f.alert_finding_id
left join usage.field_result r on r.finding_id = f.finding_id
where (%(unit)s::text is null or u.code = %(unit)s)
  and (%(kind)s::text is null or f.kind = %(kind)s)
  and (%(meter)s::text is null or f.meter = %(meter)s)
  and (%(finding_id)s::bigint is null or f.finding_id = %(finding_id)s)
  -- A live rule and a report hold until they have ended; `seen_at` is when they began.
  and (
    %(since)s::timestamptz is null
    or case when f.source in ('live', 'event') then coalesce(f.ended_at, 'infinity') else f.seen_at end >= %(since)s
  )
  and (%(everything)s or (f.ended_at is null and r.result is null))
order by f.expected_wh desc, f.finding_id
limit %(limit)s

-- name: finding_evidence
select evidence, alert_finding_id from usage.finding where finding_id = %(finding_id)s

-- name: results
select f.kind, u.code, r.result, r.checked_at, f.expected_wh, f.confidence
from usage.field_result r
join usage.finding f using (finding_id)
join grid.unit u using (unit_id)
where r.checked_at >= %(since)s
order by r.checked_at, f.finding_id

-- name: alert_of
select a.alert_id, a.state
from alerts.finding f
join alerts.alert a using (alert_id)
where f.finding_id = %(alert_finding_id)s

-- name: order_of
select work_order_id from alerts.work_order where alert_id = %(alert_id)s and state = 'issued'

-- name: lock_finding
select f.alert_finding_id, r.result
from usage.finding f
left join usage.field_result r using (finding_id)
where f.finding_id = %(finding_id)s

-- name: add_check
insert into usage.field_check (finding_id, result, checked_at, checked_by, note)
values (%(finding_id)s, %(result)s, %(at)s, %(by)s, %(note)s)

-- name: area_of_meter
-- Where a customer's meter hangs, or hung last.
select a.unit_id, u.code, a.first_day, a.through, m.position
from grid.member m
join usage.area a using (unit_id)
join grid.unit u using (unit_id)
where m.meter = %(meter)s and m.role & 2 = 2 and (m.recorded @> 'infinity'::timestamptz) is true
order by upper(m.valid) desc nulls first, lower(m.valid) desc nulls last
limit 1

-- name: counts
select count(*) filter (where ended_at is null), count(*) from usage.finding

-- name: behind
select count(*) filter (where through is null or through < %(day)s), min(through) from usage.area

-- name: lock_live
-- Of the session, since a look has several transactions; the daily job has a lock of its own.
select live_through from usage.progress
where pg_try_advisory_lock(hashtextextended('usage.live', 0))

-- name: unlock_live
select pg_advisory_unlock(hashtextextended('usage.live', 0))

-- name: advance_live
update usage.progress set live_through = %(until)s

-- name: live_units
-- Areas of which an interval was written, with how far the rules have judged them.
select distinct on (u.unit_id) u.unit_id, u.code, s.through, s.version, s.state
from loss.balance b
join grid.unit u using (unit_id)
left join usage.live_state s using (unit_id)
where b.recorded_at > %(through)s and b.recorded_at <= %(until)s and b.observed_at > %(since)s
  and u.kind in ('area', 'dedicated') and b.interval_s <= 3600
order by u.unit_id

-- name: live_intervals
-- Intervals that end after an instant, and of each length some before it. The first bound lets the planner leave out
-- chunks: no interval is longer than an hour.
select
  grid.us(b.observed_at), b.interval_s, l.coverage, l.inflow_wh, l.computable, b.quality, b.import_wh, b.export_wh,
  b.voltage_a_dv, b.voltage_b_dv, b.voltage_c_dv, b.current_a_ca, b.current_b_ca, b.current_c_ca
from telemetry.block b
join loss.balance l
  on l.unit_id = b.unit_id and l.observed_at = b.observed_at and l.interval_s = b.interval_s
  and l.observed_at > %(since)s - %(before)s * interval '1 hour'
where b.unit_id = %(unit_id)s and b.observed_at > %(since)s - %(before)s * interval '1 hour'
  and b.observed_at > %(since)s - %(before)s * b.interval_s * interval '1 second' and b.interval_s <= 3600
order by b.observed_at, b.interval_s
limit %(limit)s

-- name: write_live_states
insert into usage.live_state (unit_id, through, version, state)
select s.unit_id, s.through, %(version)s, s.state
from unnest(%(unit_ids)s::integer[], %(through)s::timestamptz[], %(states)s::bytea[]) as s (unit_id, through, state)
on conflict (unit_id) do update set through = excluded.through, version = excluded.version, state = excluded.state

-- name: held_live
-- Findings of areas that hold, other than from days; and those of days that say the same as a rule.
select finding_id, unit_id, meter, kind, source, opened_at, alert_finding_id
from usage.finding
where ended_at is null and unit_id = any(%(unit_ids)s)

-- name: tampering
-- What meters reported of being opened, of magnets, and of their last gasp, with how many of the area did so about then.
with reported as materialized (
  select e.unit_id, e.meter, e.kind, min(e.observed_at) as first_at, max(e.observed_at) as last_at, count(*) as times
  from telemetry.event e
  where e.kind in ('cover_open', 'magnetic_field', 'last_gasp') and e.observed_at > %(since)s and e.observed_at <= %(now)s
  group by 1, 2, 3
)
select
  r.unit_id, u.code, r.meter, r.kind, r.first_at, r.last_at, r.times,
  (
    select count(distinct o.meter) from telemetry.event o
    where o.unit_id = r.unit_id and o.kind = r.kind and o.meter <> r.meter
      and o.observed_at between r.last_at - interval '1 hour' and r.last_at + interval '1 hour'
  ),
  (
    select count(*) from grid.member m
    where m.unit_id = r.unit_id and m.role & 2 = 2 and upper_inf(m.recorded) and upper_inf(m.valid)
  ),
  exists (
    select from telemetry.event o
    where o.unit_id = r.unit_id and o.meter = r.meter and o.kind = 'power_restored' and o.observed_at > r.last_at
  )
from reported r
join grid.unit u using (unit_id)
order by r.unit_id, r.meter, r.kind

-- name: held_events
select f.finding_id, f.unit_id, u.code, f.meter, f.kind, f.opened_at, f.alert_finding_id
from usage.finding f
join grid.unit u using (unit_id)
where f.ended_at is null and f.source = 'event'
