-- name: progress
create table if not exists boards_filling (scale float8, until timestamptz);
insert into boards_filling select %(scale)s, now() where not exists (select from boards_filling);
create table if not exists boards_step (step text primary key, seconds float8)

-- name: units
insert into grid.substation select 'S' || n, 'Substation ' || n, 110000, 10000 from generate_series(0, %(substations)s - 1) n;
insert into grid.unit (code, kind, name, substation, gateway, rating_va, longitude_deg, latitude_deg, owner)
select 'R', 'region', 'City', null, null, null::int, null::float8, null::float8, 'utility'
union all
select 'L' || n || '-' || v, 'voltage_level', 'Level ' || n || ' ' || v, 'S' || n, null, null, null, null, 'utility'
from generate_series(0, %(substations)s - 1) n, unnest(array[400, 10000]) v
union all
select 'B' || n, 'element', 'Busbar ' || n, 'S' || n, null, null, null, null, 'utility'
from generate_series(0, %(substations)s - 1) n
union all
select
  'F' || n, 'feeder', 'Feeder ' || n, 'S' || n %% %(substations)s, 'rtu' || n %% %(substations)s, 10000000,
  120 + n %% 40 * 0.02, 30 + n / 40 * 0.02, 'utility'
from generate_series(0, %(feeders)s - 1) n
union all
select
  'A' || n, 'area', 'Area ' || n, 'S' || n %% %(feeders)s %% %(substations)s, 'c' || n, 400000,
  120 + n %% %(feeders)s %% 40 * 0.02 + n / %(feeders)s * 0.001, 30 + n %% %(feeders)s / 40 * 0.02 + n %% 7 * 0.001,
  'utility'
from generate_series(0, %(areas)s - 1) n

-- name: members
-- Three exclusion constraints over 1.6 million members take minutes, and no query of a board asks them.
alter table grid.member
  drop constraint member_one_at_a_time, drop constraint member_meter_once, drop constraint member_parent_once,
  drop constraint member_unit_id_fkey, drop constraint member_child_id_fkey, drop constraint member_meter_fkey;
drop index grid.member_meter;
drop index grid.member_child;
insert into grid.member (unit_id, position, child_id, parent_kind, role, valid)
select
  p.unit_id, row_number() over (partition by p.unit_id order by c.unit_id), c.unit_id,
  array_position(array['area', 'dedicated', 'feeder', 'region', 'voltage_level', 'element'], p.kind), 4,
  tstzrange('2020-01-01Z', null)
from grid.unit c
join grid.unit p on p.code = case c.kind
  when 'area' then 'F' || substr(c.code, 2)::int %% %(feeders)s
  when 'feeder' then 'B' || substr(c.code, 2)::int %% %(substations)s
  when 'element' then 'R'
end;
insert into grid.meter (code, accuracy_class) select 'm' || n, 1 from generate_series(0, %(areas)s * %(meters)s - 1) n;
insert into grid.member (unit_id, position, meter, meter_id, role, phases, valid)
select
  u.unit_id, p, m.code, m.meter_id, case when p = 0 then 1 else 2 end,
  case when p = 0 then 'ABC' else (array['A', 'B', 'C'])[1 + p %% 3] end, tstzrange('2020-01-01Z', null)
from grid.unit u
cross join generate_series(0, %(meters)s - 1) p
join grid.meter m on m.code = 'm' || (substr(u.code, 2)::int * %(meters)s + p)
where u.kind = 'area';
create index member_meter on grid.member (meter) where meter is not null;
create index member_child on grid.member (child_id) where child_id is not null;
alter table grid.member
  add constraint member_unit_id_fkey foreign key (unit_id) references grid.unit (unit_id),
  add constraint member_child_id_fkey foreign key (child_id) references grid.unit (unit_id),
  add constraint member_meter_fkey foreign key (meter_id, meter) references grid.meter (meter_id, code)

-- name: network
-- Of each feeder a line with a node at each area, and a tie to the next feeder.
alter table grid.connection drop constraint connection_one_at_a_time;
insert into grid.node (code, substation)
select 'n-' || code, substation from grid.unit where kind in ('feeder', 'area');
insert into grid.segment (code, length_m, resistance_ohm, reactance_ohm)
select 's-' || code, 100, 0.1, 0.05 from grid.unit where kind = 'area';
insert into grid.switch (code, kind, normal)
select 'q-' || code, 'breaker', 'closed' from grid.unit where kind = 'feeder'
union all
select 't-' || code, 'load_break', 'open' from grid.unit where kind = 'feeder';
insert into grid.connection (segment_id, switch_id, unit_id, from_node_id, to_node_id, breaker_id, valid)
select
  s.segment_id, null::int, null::int, b.node_id, a.node_id, null::int, tstzrange('2020-01-01Z', null)
from grid.unit u
join grid.node a on a.code = 'n-' || u.code
join grid.segment s on s.code = 's-' || u.code
join grid.node b on b.code = case
  when substr(u.code, 2)::int < %(feeders)s then 'n-F' || substr(u.code, 2)
  else 'n-A' || substr(u.code, 2)::int - %(feeders)s
end
where u.kind = 'area'
union all
select null, null, u.unit_id, n.node_id, null, q.switch_id, tstzrange('2020-01-01Z', null)
from grid.unit u
join grid.node n on n.code = 'n-' || u.code
left join grid.switch q on q.code = 'q-' || u.code
where u.kind in ('feeder', 'area')
union all
select null, t.switch_id, null, a.node_id, b.node_id, null, tstzrange('2020-01-01Z', null)
from grid.unit u
join grid.switch t on t.code = 't-' || u.code
join grid.node a on a.code = 'n-' || u.code
join grid.node b on b.code = 'n-F' || (substr(u.code, 2)::int + %(substations)s) %% %(feeders)s
where u.kind = 'feeder';
insert into grid.switch_position (switch_id, position, valid, recorded)
select
  s.switch_id, case when s.switch_id %% 97 = 0 and n = 0 or n %% 2 = 1 then 'open' else 'closed' end,
  case when n = 0 then tstzrange(now() - interval '2 hours', null) else
    tstzrange(now() - interval '2 hours' - n * interval '30 days', now() - interval '2 hours' - (n - 1) * interval '30 days')
  end,
  tstzrange(now() - interval '1 year', null)
from grid.switch s, generate_series(0, 3) n
where s.kind = 'breaker'

-- name: beside
insert into grid.point (code, unit_id, kind, unit_of_measure, dead_band, cycle_s, sign)
select u.code || '-' || k.kind, u.unit_id, k.kind, k.measure, 0, 60, 1
from grid.unit u, (values ('P', 'kW'), ('Q', 'kvar'), ('U', 'kV'), ('I', 'A')) k (kind, measure)
where u.kind = 'feeder';
insert into telemetry.point_last (point_id, observed_at, received_at, sequence, value, rank, quality)
select point_id, now() - point_id %% 90 * interval '1 second', now(), 1, 10, 2, 0 from grid.point;
insert into alerts.alert (fingerprint, kind, severity, unit_id, state, opened_at, updated_at, evidence)
select
  'f' || n, 'high_loss', case when n %% 5 = 0 then 'critical' else 'warning' end, u.unit_id,
  case when n < 1000 then 'open' else 'resolved' end, now() - n * interval '10 minutes', now() - n * interval '10 minutes',
  '{}'
from generate_series(0, 49999) n
join grid.unit u on u.code = 'A' || n %% %(areas)s
order by n desc;
insert into telemetry.rejected (fingerprint, reason, detail, quarantined, topic, meters, original, original_size, first_at)
select sha256(n::text::bytea), (array['unknown_meter', 'bad_json', 'time_ahead'])[1 + n %% 3], 'detail', n %% 3 = 0, 't', '{}', '{}', 2, now() - n * interval '1 minute'
from generate_series(1, 20000) n;
insert into telemetry.gateway_sequence
select 'c' || n, 1, now() - interval '1 year', 1, 35040, null, now() from generate_series(0, %(areas)s - 1) n;
insert into telemetry.gap
select 'c' || n, 1, 30, 34, '{[30,35)}', 5, now() - n * interval '1 minute', now(), 3, 2, null from generate_series(0, 999) n;
insert into loss.threshold (unit_kind, low_rate, high_rate, min_inflow_wh_per_h, valid_from, recorded_by, reason)
select kind, -0.01, 0.08, 100, '2020-01-01Z', 'benchmark', 'benchmark' from unnest(array['area', 'feeder']) kind

-- name: day
-- One day of results of all units, in the order of time.
create unlogged table boards_day as
select
  u.unit_id, u.kind, n * interval '15 minutes' as at, f.inflow, (f.inflow * f.rate)::bigint as loss, f.rate
from generate_series(1, 96) n
cross join grid.unit u
cross join lateral (
  select
    (case u.kind when 'area' then 20000 when 'feeder' then 400000 else 8000000 end
      * (1 + 0.5 * sin(n / 15.0)) * (0.5 + (u.unit_id * 37 %% 100) / 100.0))::bigint as inflow,
    0.02 + (u.unit_id * 61 %% 1000) / 10000.0 as rate
) f
order by n, u.unit_id

-- name: balances
insert into loss.balance (
  unit_id, observed_at, interval_s, inflow_wh, outflow_wh, loss_wh, members_loss_wh, sigma_wh, coverage, status,
  computable, revision, received_at, recorded_at, published_at, technical_wh, technical_sigma_wh,
  members_technical_wh, systematic_sigma_wh, ends_sigma_wh, total_sigma_wh, total_systematic_sigma_wh, class
)
select
  unit_id, %(day)s + at, 900, inflow, inflow - loss, loss, case when kind = 'area' then 0 else loss end, inflow * 0.004,
  case when unit_id %% 50 = 0 then 0.98 else 1 end, 'final', true, 1, %(day)s + at + interval '5 seconds',
  %(day)s + at + interval '6 seconds' + unit_id %% 100 * interval '10 milliseconds', %(day)s + at + interval '6 seconds',
  loss * 0.7, loss * 0.07, case when kind = 'area' then 0 else loss * 0.6 end, inflow * 0.003, inflow * 0.001,
  inflow * 0.005, inflow * 0.004, case when rate > 0.1 then 'high' else 'normal' end
from boards_day
where (%(areas)s or kind <> 'area') and %(day)s + at > %(since)s and %(day)s + at <= %(until)s

-- name: blocks
insert into telemetry.block (
  unit_id, observed_at, interval_s, version, received_at, recorded_at, precedence, received_us, import_wh, export_wh,
  voltage_a_dv, voltage_b_dv, voltage_c_dv, current_a_ca, quality
)
select
  unit_id, %(day)s + at, 900, 1, %(day)s + at + interval '5 seconds', %(day)s + at + interval '6 seconds', '{1}', '{1}',
  v.import_wh, v.export_wh, v.voltage, v.voltage, v.voltage, v.current, v.quality
from boards_day d
join boards_values v on v.n = d.unit_id %% 200
where kind = 'area' and %(day)s + at > %(since)s and %(day)s + at <= %(until)s

-- name: values
create unlogged table boards_values as
select
  n, array_agg((n * 7 + p * 13) %% 300 :: bigint order by p) as import_wh, array_agg(0::bigint order by p) as export_wh,
  array_agg((2200 + (n * 11 + p * 17) %% 200)::smallint order by p) as voltage,
  array_agg(((n + p) %% 900)::smallint order by p) as current, decode(repeat('00', %(meters)s), 'hex') as quality
from generate_series(0, 199) n, generate_series(1, %(meters)s) p
group by n

-- name: periods
insert into loss.period_revision (
  unit_id, period, first_day, revision, begins_at, ends_at, expected_s, covered_s, intervals, from_at, to_at, inflow_wh,
  outflow_wh, loss_wh, members_loss_wh, uncontracted_wh, generation_wh, estimated_wh, technical_wh, averaging_wh,
  technical_sigma_wh, sigma_wh, systematic_sigma_wh, ends_sigma_wh, opening_sigma_wh, closing_sigma_wh, computable,
  class, reasons, status, published_at
)
select
  unit_id, 'day', day, case when day = today then 0 else 1 end, day, day + 1, 86400, 86400, 96, day, day + 1, s.inflow,
  s.inflow - s.loss, s.loss, 0, 0, 0, s.inflow / 100, s.loss * 0.7, 0, s.loss * 0.07, s.inflow * 0.004, s.inflow * 0.003,
  0, 0, 0, true, case when s.rate > 0.1 then 'high' when s.rate < 0.025 then 'not_computable' else 'normal' end, 0,
  case when day = today then 'provisional' else 'final' end, case when day < today then day + 1 end
from (
  select d.unit_id, sum(d.inflow)::bigint as inflow, sum(d.loss)::bigint as loss, min(d.rate) as rate
  from boards_day d group by d.unit_id
) s
cross join (
  select %(first)s::date + n as day, %(last)s::date as today from generate_series(0, %(last)s::date - %(first)s::date) n
) t
order by day, unit_id

-- name: unindexed
-- Indexes and references of what is filled, made at the end.
alter table loss.balance drop constraint balance_pkey;
drop index loss.balance_observed;
drop index loss.balance_recorded;
drop index loss.balance_due;
alter table loss.period_revision drop constraint period_revision_unit_id_fkey;
alter table loss.period_revision drop constraint period_revision_pkey;
drop index loss.period_first_day

-- name: balance_key
alter table loss.balance add primary key (unit_id, observed_at, interval_s)

-- name: balance_observed
create index balance_observed on loss.balance (observed_at desc, unit_id)

-- name: balance_recorded
create index balance_recorded on loss.balance (recorded_at)

-- name: balance_due
create index balance_due on loss.balance (due_at) where due_at is not null

-- name: period_key
alter table loss.period_revision add primary key (unit_id, period, first_day, revision);
alter table loss.period_revision add foreign key (unit_id) references grid.unit (unit_id)

-- name: period_first_day
create index period_first_day on loss.period_revision (period, first_day, unit_id) where until_at is null

-- name: told
-- What programs tell of themselves and of records: a day of 8 workers, a month of consistency, 20,000 conflicts.
insert into telemetry.worker_state
select
  now() - n * interval '10 seconds', w::text, p.part, n * p.k %% 500, 10, 400 + n %% 50, 16000, 0.2 + n %% 40 * 0.01,
  0.4 + n %% 70 * 0.01, 10
from generate_series(1, 8640) n, generate_series(1, 8) w,
  unnest(array['areas', 'greater', 'scada', 'events', 'again', 'backfill', 'refusals']) with ordinality p (part, k);
insert into sync.conflict (
  fingerprint, kind, entity_kind, field, system, dataset, department, said, confidence, opened_at, seen_at
)
select
  sha256(n::text::bytea), (array['missing', 'orphan', 'duplicate', 'field_differs', 'relation_differs'])[1 + n %% 5],
  'meter', 'area', (array['gis', 'pms', 'marketing'])[1 + n %% 3], 'rows',
  (array['marketing', 'distribution', 'metering'])[1 + n %% 3], '{}', 0.9, now() - n * interval '10 minutes', now()
from generate_series(1, 40000) n;
update sync.conflict set closed_at = least(now(), opened_at + interval '3 days') where conflict_id %% 2 = 0;
insert into sync.consistency
select u.unit_id, r.relation, current_date - d, 80, 80 - (u.unit_id + d) %% 3
from grid.unit u
join (values
  ('area', 'transformer_customer'), ('feeder', 'line_transformer'), ('feeder', 'station_line')
) r (kind, relation) using (kind)
cross join generate_series(0, 30) d
order by current_date - d, u.unit_id;
insert into loss.day_change
select
  unit_id, first_day, 1, 1, loss_wh, 0, loss_wh / 20, loss_wh / 30, 0, 0, loss_wh / 10, -loss_wh / 40, sigma_wh
from loss.period p
join grid.unit u using (unit_id)
where u.kind = 'feeder' and p.period = 'day' and p.revision > 0

-- name: findings
-- Of two years: 200,000 findings of 50,000 alerts with their history, 10,000 work orders, 40,000 findings of usage.
insert into alerts.transition (alert_id, at, actor, action, from_state, to_state, reason)
select a.alert_id, a.opened_at + s.after, s.actor, s.action, s.from_state, s.to_state, 'benchmark'
from alerts.alert a
cross join (values
  ('0'::interval, 'meterline', 'open', null, 'open'), ('20 minutes', 'li.wei', 'acknowledge', 'open', 'acknowledged'),
  ('2 days', 'li.wei', 'resolve', 'acknowledged', 'resolved')
) s (after, actor, action, from_state, to_state)
where s.to_state = 'open' or a.state = 'resolved'
order by a.opened_at + s.after;
insert into alerts.finding (
  fingerprint, kind, severity, unit_id, meter, begin_at, seen_at, ended_at, figures, evidence, alert_id, result
)
select
  'f' || n, (array['high_loss', 'stopped', 'under_recording', 'voltage'])[1 + n %% 4],
  (array['critical', 'warning', 'info'])[1 + n %% 3], u.unit_id,
  'm' || (substr(u.code, 2)::int * %(meters)s + n %% %(meters)s), now() - n * interval '5 minutes',
  now() - n * interval '4 minutes', case when n >= 3000 then now() - n * interval '3 minutes' end,
  '{"loss_wh": 1200, "rate": 0.12}', '{"members": [1, 2, 3]}', case when n %% 4 = 0 then a.alert_id end,
  case when n %% 20 = 0 then (array['confirmed', 'refuted', 'not_found'])[1 + n %% 3] end
from generate_series(0, 199999) n
join grid.unit u on u.code = 'A' || n %% %(areas)s
join alerts.alert a on a.fingerprint = 'f' || n / 4;
insert into alerts.work_order (
  alert_id, state, assignee, created_at, created_by, deadline, expected_wh, evidence, result, found_wh, done_at, done_by
)
select
  alert_id, case when n < 500 then 'issued' else 'done' end, 'li.wei', now() - n * interval '1 hour', 'benchmark',
  now() - n * interval '1 hour' + interval '14 days', 100000, '{}',
  case when n >= 500 then (array['confirmed', 'refuted', 'not_found'])[1 + n %% 3] end,
  case when n >= 500 then 80000 end, case when n >= 500 then now() - n * interval '50 minutes' end,
  case when n >= 500 then 'li.wei' end
from (select alert_id, row_number() over (order by alert_id desc) as n from alerts.alert limit 10000) a;
insert into usage.finding (
  unit_id, meter, kind, source, confidence, begin_at, opened_at, seen_at, ended_at, expected_wh, expected_money, reasons,
  evidence, alert_finding_id
)
select
  u.unit_id, 'm' || (substr(u.code, 2)::int * %(meters)s + n %% %(meters)s),
  (array['under_recording', 'stopped', 'bypass', 'phase_missing'])[1 + n %% 4], 'daily', 0.5 + n %% 50 * 0.01,
  now() - n * interval '25 minutes', now() - n * interval '24 minutes', now() - n * interval '20 minutes',
  case when n >= 5000 then now() - n * interval '18 minutes' end, 1000 + n * 37 %% 100000, n %% 500,
  array['loss follows', 'low voltage'], '{"series": "0123456789abcdef", "voltage": {"found_area": "A7"}}', n + 1
from generate_series(0, 39999) n
join grid.unit u on u.code = 'A' || n %% %(areas)s
order by n;
insert into usage.field_check
select finding_id, (array['confirmed', 'refuted', 'not_found'])[1 + finding_id %% 3], seen_at, 'li.wei', ''
from usage.finding
where finding_id %% 10 = 0

-- name: records
-- What rules and comparisons found: a month of doubts of half the areas, a year of completeness, a copy of all meters
-- in one target and of all areas in another, 20,000 disagreements that are over, 20,000 entries of the ledger.
insert into telemetry.doubt
select
  u.unit_id, current_date - d, (u.unit_id + d) %% %(meters)s,
  (array['spike', 'zero_run', 'flat_run', 'multiplier'])[1 + u.unit_id / 2 %% 4], (current_date - d)::timestamptz,
  (current_date - d)::timestamptz + interval '1 hour', 9000, 3000, now()
from generate_series(30, 0, -1) d
cross join grid.unit u
where u.kind = 'area' and (u.unit_id + d) %% 2 = 0;
insert into sync.completeness
select s, k, current_date - d, 20000, (d + length(k)) %% 40
from unnest(array['gis', 'pms', 'marketing']) s, unnest(array['area', 'feeder', 'meter', 'account', 'switch', 'node']) k,
  generate_series(0, 365) d;
insert into sync.target_state (target, kind, code, expected, seen, checked_at, since)
select
  'gis', 'meter', code, sha256(code::bytea), sha256((case when meter_id %% 100 = 0 then 'x' else '' end || code)::bytea),
  now(), case when meter_id %% 100 = 0 then now() - meter_id %% 5000 * interval '1 minute' end
from grid.meter
union all
select
  'pms', 'unit', code, sha256(code::bytea), sha256((case when unit_id %% 50 = 0 then 'x' else '' end || code)::bytea),
  now(), case when unit_id %% 50 = 0 then now() - unit_id %% 5000 * interval '1 minute' end
from grid.unit;
insert into sync.drift
select
  (array['gis', 'pms'])[1 + n %% 2], 'unit', 'A' || n, now() - n * interval '10 minutes' - interval '1 hour',
  now() - n * interval '10 minutes'
from generate_series(0, 19999) n;
insert into benefit.parameters (hash, body, reason, recorded_by) values ('\x01', '{}', 'benchmark', 'benchmark');
insert into benefit.effect (
  key, version, units, method, first_day, repaired_from, repaired_to, last_day, recovered_wh, low_wh, high_wh, sigma_wh,
  before_after_wh, placebo_rank, shown, days_before, days_after, controls, evidence, digest
)
select
  'k' || n, 1, array[1], 'control', current_date - 90, current_date - 60, current_date - 59, current_date - 30, 50000,
  40000, 60000, 5000, 70000, 0.05, n %% 5 > 0, 28, 28, 20, '{"n": 1}', '\x01'
from generate_series(1, 5000) n;
insert into benefit.entry (
  source, source_id, item, version, kind, unit_id, organisation, done_at, energy_wh, sigma_wh, shown, money_cents,
  visits_milli, work_s, outage_customer_s, co2_g, basis, method, parameters_id, effect_id, evidence, digest, reason
)
select
  'work_order', n, case when n %% 4 = 0 then 'loss_avoided' else 'recovered' end, v, 'high_loss', u.unit_id,
  'unit ' || n %% 12, now() - n * interval '50 minutes', 50000, 5000, n %% 5 > 0, 2500, 0, 0, 0, 28000,
  case when n %% 3 = 0 then 'estimate' else 'measured' end, 'control', 1, case when n %% 4 = 0 then n / 4 end, '{"n": 1}',
  '\x01', 'benchmark'
from generate_series(1, 20000) n
cross join generate_series(1, 2) v
join grid.unit u on u.code = 'A' || n %% %(areas)s
where v = 1 or n %% 10 = 0

-- name: analyze
analyze
