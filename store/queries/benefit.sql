-- name: lock
select pg_try_advisory_lock(hashtextextended('benefit', 0))

-- name: unlock
select pg_advisory_unlock(hashtextextended('benefit', 0))

-- name: add_parameters
insert into benefit.parameters (hash, body, reason, recorded_by)
values (%(hash)s, %(body)s, %(reason)s, %(by)s)
on conflict (hash) do nothing
returning parameters_id

-- name: parameters_of_hash
select parameters_id from benefit.parameters where hash = %(hash)s

-- name: approve
insert into benefit.approval (parameters_id, approved_by)
select parameters_id, %(by)s from benefit.parameters where parameters_id = %(parameters_id)s
returning approval_id

-- name: parameters
select p.parameters_id, p.body, p.reason, p.recorded_at, p.recorded_by, a.approved_at, a.approved_by
from benefit.parameters p
left join lateral (
  select approved_at, approved_by from benefit.approval a
  where a.parameters_id = p.parameters_id order by approval_id desc limit 1
) a on true
where (%(parameters_id)s::bigint is null or p.parameters_id = %(parameters_id)s)
order by p.parameters_id desc
limit %(limit)s

-- name: approved
select parameters_id from benefit.approval order by approval_id desc limit 1

-- name: keep_outages
-- Before findings go; a finding that was kept isn't looked at again. What goes on as part of another outage is in that.
insert into benefit.outage (finding_id, unit_id, begin_at, ended_at, customers, planned)
select
  f.finding_id, f.unit_id, f.begin_at, f.ended_at,
  coalesce(
    (
      select sum(greatest(s.customers - s.were, 0))
      from (
        select customers, lag(customers, 1, 0) over (order by at, step_id) as were
        from benefit.outage_step s where s.finding_id = f.finding_id
      ) s
    ),
    (f.figures ->> 'meters')::integer, 0
  ),
  exists (
    with recursive above (unit_id) as (
      select f.unit_id
      union
      select m.unit_id from above a
      join grid.member m on m.child_id = a.unit_id and upper_inf(m.recorded) and m.valid @> f.begin_at
    )
    select from above join alerts.maintenance w using (unit_id)
    where w.during @> f.begin_at and (w.kinds is null or 'outage' = any(w.kinds))
  )
from alerts.finding f
where f.kind = 'outage' and f.ended_at is not null and f.ended_at <= %(at)s and not f.figures ? 'taken_over_by'
  and not exists (select from benefit.outage o where o.finding_id = f.finding_id)
order by f.finding_id
on conflict (finding_id) do nothing

-- name: work_orders
-- Confirmed on the spot: what was found was put right.
select
  'work_order', w.work_order_id, a.kind, u.unit_id, o.code, w.done_at, array[u.unit_id], t.tariff_class,
  coalesce(w.found_wh, 0), null::integer, null::timestamptz, null::jsonb, null::timestamptz,
  jsonb_build_object(
    'work_order', w.work_order_id, 'alert', a.alert_id, 'result', w.result, 'found_wh', w.found_wh, 'done_at', w.done_at,
    'version', w.version, 'unit', u.code, 'tariff', t.tariff_class
  )
from alerts.work_order w
join alerts.alert a using (alert_id)
join grid.unit u using (unit_id)
left join lateral (
  select s.tariff_class
  from grid.meter g
  join grid.installation i on i.meter_id = g.meter_id and upper_inf(i.recorded) and i.valid @> w.done_at
  join grid.service v on v.usage_point_id = i.usage_point_id and upper_inf(v.recorded) and v.valid @> w.done_at
  join grid.account_state s on s.account_id = v.account_id and upper_inf(s.recorded) and s.valid @> w.done_at
  where g.code = a.meter
) t on true
left join lateral (
  select min(g.code) as code from grid.responsibility r join grid.organisation g using (organisation_id)
  where r.unit_id = u.unit_id and r.duty = 1 and upper_inf(r.recorded) and r.valid @> w.done_at
) o on true
where w.state = 'done' and w.result = 'confirmed' and w.done_at <= %(at)s
order by w.work_order_id

-- name: proposals
-- Applied to the grid model; the units are those that its values name, or where the meter hung when it came to hold.
select
  'proposal', p.proposal_id, c.kind, w.unit_id, o.code, x.done_at, x.units, null::text, 0::bigint, null::integer,
  null::timestamptz, null::jsonb, x.changed_at,
  jsonb_build_object(
    'proposal', p.proposal_id, 'conflict', p.conflict_id, 'entity_kind', c.entity_kind, 'entity', e.code,
    'field', c.field, 'before', p.before, 'after', p.after, 'outbox', p.outbox_id, 'applied_at', x.done_at,
    'valid_from', p.change -> 'valid_from', 'version', p.version
  )
from sync.proposal p
join sync.conflict c using (conflict_id)
left join sync.entity e using (entity_id)
cross join lateral (
  select d.done_at, coalesce((p.change ->> 'valid_from')::timestamptz, d.done_at) as changed_at
  from (
    select max(v.at) as done_at from sync.proposal_event v
    where v.proposal_id = p.proposal_id and v.action = 'approve'
  ) d
) d
cross join lateral (
  select
    d.done_at,
    d.changed_at,
    array(
      select u.unit_id from grid.unit u
      where u.kind in ('area', 'dedicated')
        and u.code in (select value from jsonb_each_text(p.before) union select value from jsonb_each_text(p.after))
      union
      select m.unit_id from grid.member m
      join grid.unit u using (unit_id)
      where c.entity_kind = 'meter' and m.meter = e.code and m.role & 2 = 2 and upper_inf(m.recorded)
        and u.kind in ('area', 'dedicated')
        and m.valid @> d.changed_at
      order by 1
    ) as units
) x
left join lateral (
  select coalesce(x.units[1], (select unit_id from grid.unit u where u.code = e.code)) as unit_id
) w on true
left join lateral (
  select min(g.code) as code from grid.responsibility r join grid.organisation g using (organisation_id)
  where r.unit_id = w.unit_id and r.duty = 1 and upper_inf(r.recorded) and r.valid @> x.done_at
) o on true
where p.state = 'applied' and p.target = 'model' and x.done_at <= %(at)s
order by p.proposal_id

-- name: conflicts
-- Resolved without a change of the grid model: a source has corrected its record, as was proposed and approved since the
-- conflict came. What went by itself was resolved by nobody.
select
  'conflict', c.conflict_id, c.kind, s.unit_id, o.code, c.closed_at, array[]::integer[], null::text, 0::bigint,
  null::integer, null::timestamptz, null::jsonb, null::timestamptz,
  jsonb_build_object(
    'conflict', c.conflict_id, 'kind', c.kind, 'entity_kind', c.entity_kind, 'entity', e.code, 'field', c.field,
    'system', c.system, 'closed_at', c.closed_at, 'proposal', a.proposal_id
  )
from sync.conflict c
cross join lateral (
  -- When its conflict closes an approved one becomes withdrawn, with no step by anybody.
  select max(p.proposal_id) as proposal_id
  from sync.proposal p
  where p.conflict_id = c.conflict_id and p.target <> 'model' and p.state in ('approved', 'withdrawn')
    and p.proposed_at >= c.opened_at
    and p.approvals_needed <= (
      select count(*) from sync.proposal_event e
      where e.proposal_id = p.proposal_id and e.action = 'approve' and e.at <= c.closed_at
    )
    and not exists (
      select from sync.proposal_event e where e.proposal_id = p.proposal_id and e.action in ('reject', 'withdraw')
    )
) a
left join sync.entity e using (entity_id)
left join lateral (
  select unit_id from rollout.conflict_step s where s.conflict_id = c.conflict_id order by s.at desc limit 1
) s on true
left join lateral (
  select min(g.code) as code from grid.responsibility r join grid.organisation g using (organisation_id)
  where r.unit_id = s.unit_id and r.duty = 1 and upper_inf(r.recorded) and r.valid @> c.closed_at
) o on true
where c.closed_at <= %(at)s and a.proposal_id is not null
  and not exists (
    select from sync.proposal p where p.conflict_id = c.conflict_id and p.state = 'applied' and p.target = 'model'
  )
order by c.conflict_id

-- name: outages
select
  'outage', b.finding_id, 'outage', b.unit_id, o.code, b.ended_at, array[]::integer[], null::text, 0::bigint,
  b.customers, b.begin_at, t.steps, null::timestamptz,
  jsonb_build_object(
    'finding', b.finding_id, 'unit', u.code, 'begin_at', b.begin_at, 'ended_at', b.ended_at, 'customers', b.customers,
    'steps', t.steps
  )
from benefit.outage b
join grid.unit u using (unit_id)
left join lateral (
  select jsonb_agg(
    jsonb_build_array(extract(epoch from s.at - b.begin_at)::float8, s.customers) order by s.at, s.step_id
  ) as steps
  from benefit.outage_step s where s.finding_id = b.finding_id
) t on true
left join lateral (
  select min(g.code) as code from grid.responsibility r join grid.organisation g using (organisation_id)
  where r.unit_id = b.unit_id and r.duty = 1 and upper_inf(r.recorded) and r.valid @> b.ended_at
) o on true
where not b.planned and b.ended_at <= %(at)s
order by b.finding_id

-- name: unit_codes
select unit_id, code, kind from grid.unit where unit_id = any(%(unit_ids)s)

-- name: sizes
-- Mean daily inflow of units of a kind over some days, of those with most of them.
select p.unit_id, avg(p.inflow_wh)::float8
from loss.period_revision p
join grid.unit u using (unit_id)
where p.period = 'day' and p.until_at is null and p.revision > 0 and p.computable and p.status <> 'provisional'
  and p.first_day >= %(first)s and p.first_day < %(until)s and u.kind = %(kind)s
group by p.unit_id
having count(*) >= %(least)s and avg(p.inflow_wh) > 0
order by p.unit_id

-- name: days
select p.unit_id, p.first_day, p.revision, p.loss_wh, p.inflow_wh
from loss.period_revision p
where p.period = 'day' and p.until_at is null and p.revision > 0 and p.computable and p.status <> 'provisional'
  and p.first_day between %(first)s and %(last)s and p.unit_id = any(%(unit_ids)s)
order by p.unit_id, p.first_day

-- name: days_as_taken
-- The revisions that an effect rests on, whatever stands now.
select p.unit_id, p.first_day, p.revision, p.loss_wh, p.inflow_wh
from loss.period_revision p
join unnest(%(unit_ids)s::integer[], %(days)s::date[], %(revisions)s::integer[]) as w (unit_id, first_day, revision)
  using (unit_id, first_day, revision)
where p.period = 'day'
order by p.unit_id, p.first_day

-- name: newest_effects
select distinct on (key) key, effect_id, version, digest, recovered_wh, sigma_wh, shown
from benefit.effect
order by key, version desc

-- name: day_states
-- A figure that is published anew has another revision, and one that comes late makes one more.
select u.kind, p.first_day, count(*), sum(p.revision), max(p.recorded_at)
from loss.period_revision p
join grid.unit u using (unit_id)
where p.period = 'day' and p.until_at is null and p.revision > 0 and p.computable and p.status <> 'provisional'
  and p.first_day between %(first)s and %(last)s
group by u.kind, p.first_day

-- name: measured
select key, inputs, effect_id, why from benefit.measured

-- name: note_measured
insert into benefit.measured (key, inputs, effect_id, why)
values (%(key)s, %(inputs)s, %(effect_id)s, %(why)s)
on conflict (key) do update set inputs = excluded.inputs, effect_id = excluded.effect_id, why = excluded.why

-- name: forget_measured
delete from benefit.measured where key <> all(%(keys)s::text[])

-- name: add_run
insert into benefit.run (at, sources, written, measured, waiting, advice, social)
values (%(at)s, %(sources)s, %(written)s, %(measured)s, %(waiting)s, %(advice)s, %(social)s)

-- name: told
select advice, social from benefit.run where recorded_at <= %(at)s order by run_id desc limit 1

-- name: last_run
select run_id, at, recorded_at, sources, written, measured, waiting from benefit.run order by run_id desc limit 1

-- name: add_effect
insert into benefit.effect (
  key, version, units, method, first_day, repaired_from, repaired_to, last_day, recovered_wh, low_wh, high_wh, sigma_wh,
  before_after_wh, placebo_rank, shown, days_before, days_after, controls, evidence, digest
) values (
  %(key)s, %(version)s, %(units)s, %(method)s, %(first_day)s, %(repaired_from)s, %(repaired_to)s, %(last_day)s,
  %(recovered_wh)s, %(low_wh)s, %(high_wh)s, %(sigma_wh)s, %(before_after_wh)s, %(placebo_rank)s, %(shown)s,
  %(days_before)s, %(days_after)s, %(controls)s, %(evidence)s, %(digest)s
)
returning effect_id

-- name: read_effect
select * from benefit.effect where effect_id = %(effect_id)s

-- name: reached
select greatest((select max(done_at) from benefit.ledger), (select max(at) from benefit.run)),
  (select max(last_day) from benefit.effect)

-- name: newest_entries
select distinct on (source, source_id, item)
  source, source_id, item, version, withdrawn, digest, parameters_id, evidence -> 'source', effect_id
from benefit.entry
order by source, source_id, item, version desc

-- name: add_entry
insert into benefit.entry (
  source, source_id, item, version, withdrawn, kind, unit_id, organisation, done_at, energy_wh, sigma_wh, shown,
  money_cents, visits_milli, work_s, outage_customer_s, co2_g, basis, method, parameters_id, effect_id, evidence, digest,
  reason
) values (
  %(source)s, %(source_id)s, %(item)s, %(version)s, false, %(kind)s, %(unit_id)s, %(organisation)s, %(done_at)s,
  %(energy_wh)s, %(sigma_wh)s, %(shown)s, %(money_cents)s, %(visits_milli)s, %(work_s)s, %(outage_customer_s)s, %(co2_g)s,
  %(basis)s, %(method)s, %(parameters_id)s, %(effect_id)s, %(evidence)s, %(digest)s, %(reason)s
)

-- name: withdraw_entry
-- The same figures, that count no more.
insert into benefit.entry (
  source, source_id, item, version, withdrawn, kind, unit_id, organisation, done_at, energy_wh, sigma_wh, shown,
  money_cents, visits_milli, work_s, outage_customer_s, co2_g, basis, method, parameters_id, effect_id, evidence, digest,
  reason
)
select
  source, source_id, item, version + 1, true, kind, unit_id, organisation, done_at, energy_wh, sigma_wh, shown,
  money_cents, visits_milli, work_s, outage_customer_s, co2_g, basis, method, parameters_id, effect_id, evidence, digest,
  'withdrawn'
from benefit.entry
where source = %(source)s and source_id = %(source_id)s and item = %(item)s and version = %(version)s

-- name: entries
select
  f.source, f.source_id, f.item, f.version, f.kind, f.unit, f.organisation, f.done_at, f.energy_wh, f.sigma_wh, f.shown,
  f.money_cents, f.visits_milli, f.work_s, f.outage_customer_s, f.co2_g, f.basis, l.method, l.parameters_id, f.effect_id,
  f.before_after_wh, f.low_wh, f.high_wh
from benefit.figure f
join benefit.ledger l using (source, source_id, item)
where (%(organisation)s::text is null or f.organisation in (select code from rollout.below(%(organisation)s, now())))
  and (%(unit)s::text is null or f.unit = %(unit)s)
  and (%(since)s::timestamptz is null or f.done_at >= %(since)s)
  and (%(until)s::timestamptz is null or f.done_at < %(until)s)
  and (
    %(after)s::text is null
    or (f.source, f.source_id, f.item) > (%(after)s::text, %(after_id)s::bigint, %(after_item)s::text)
  )
order by f.source, f.source_id, f.item
limit %(limit)s

-- name: totals
-- Shares of one effect err together: their deviations add up; those of different effects don't.
with own as (
  select
    coalesce(f.organisation, '') as organisation, f.item, f.basis, count(*) as entries,
    count(*) filter (where not f.shown) as not_shown, sum(f.energy_wh) as energy_wh,
    sum(f.sigma_wh)::float8 as sigma_wh, sum(f.money_cents) as money_cents, sum(f.visits_milli) as visits_milli,
    sum(f.work_s) as work_s, sum(f.outage_customer_s) as outage_customer_s, sum(f.co2_g) as co2_g
  from benefit.figure f
  where (%(organisation)s::text is null or f.organisation in (select code from rollout.below(%(organisation)s, now())))
    and (%(unit)s::text is null or f.unit = %(unit)s)
    and (%(since)s::timestamptz is null or f.done_at >= %(since)s)
    and (%(until)s::timestamptz is null or f.done_at < %(until)s)
  group by 1, 2, 3, coalesce(f.effect_id::text, f.source || f.source_id)
)
select
  organisation, item, basis, sum(entries)::integer as entries, sum(not_shown)::integer as not_shown,
  sum(energy_wh)::bigint as energy_wh, sqrt(sum(sigma_wh ^ 2)) as sigma_wh, sum(money_cents)::bigint as money_cents,
  sum(visits_milli)::bigint as visits_milli, sum(work_s)::bigint as work_s,
  sum(outage_customer_s)::bigint as outage_customer_s, sum(co2_g)::bigint as co2_g
from own
group by organisation, item, basis
order by organisation, item, basis

-- name: deviation
-- Of the sum of all energies.
select coalesce(sqrt(sum(sigma_wh ^ 2)), 0)
from (
  select sum(f.sigma_wh)::float8 as sigma_wh
  from benefit.figure f
  where (%(organisation)s::text is null or f.organisation in (select code from rollout.below(%(organisation)s, now())))
    and (%(unit)s::text is null or f.unit = %(unit)s)
    and (%(since)s::timestamptz is null or f.done_at >= %(since)s)
    and (%(until)s::timestamptz is null or f.done_at < %(until)s)
  group by coalesce(f.effect_id::text, f.source || f.source_id)
) effects

-- name: versions
select
  e.source, e.source_id, e.item, e.version, e.withdrawn, e.kind, u.code as unit, e.organisation, e.done_at, e.energy_wh,
  e.sigma_wh, e.shown, e.money_cents, e.visits_milli, e.work_s, e.outage_customer_s, e.co2_g, e.basis, e.method,
  e.parameters_id, e.effect_id, e.evidence, encode(e.digest, 'hex') as digest, e.reason, e.recorded_at
from benefit.entry e
left join grid.unit u using (unit_id)
where e.source = %(source)s and e.source_id = %(source_id)s and (%(item)s::text is null or e.item = %(item)s)
order by e.item, e.version

-- name: yearly
-- What the entries of a local year bring, by organisation: once, and each year from then on. An avoided loss over its days
-- goes on over a year.
select
  coalesce(l.organisation, ''), extract(year from l.done_at at time zone %(zone)s)::integer,
  coalesce(sum(l.money_cents) filter (where l.item <> 'loss_avoided'), 0)::bigint,
  coalesce(round(sum(l.money_cents * 365 / e.days_after::numeric) filter (where l.item = 'loss_avoided')), 0)::bigint
from benefit.ledger l
left join benefit.effect e using (effect_id)
group by 1, 2
order by 1, 2

-- name: interruptions
select b.begin_at, b.ended_at, b.customers, b.planned, coalesce(t.steps, '[]')
from benefit.outage b
left join lateral (
  select jsonb_agg(
    jsonb_build_array(extract(epoch from s.at - b.begin_at)::float8, s.customers) order by s.at, s.step_id
  ) as steps
  from benefit.outage_step s where s.finding_id = b.finding_id
) t on true
where b.begin_at >= %(since)s and b.begin_at < %(until)s
  and (%(organisation)s::text is null or b.unit_id in (select unit_id from rollout.units_of(%(organisation)s, %(until)s)))
order by b.finding_id

-- name: customers
-- Who is served: meters of customers, as known now and valid then.
select count(distinct m.meter)::integer
from grid.member m
where m.role & 2 = 2 and m.meter is not null and upper_inf(m.recorded) and m.valid @> %(at)s::timestamptz
  and (%(organisation)s::text is null or m.unit_id in (select unit_id from rollout.units_of(%(organisation)s, %(at)s)))

-- name: wrong_records
-- Meters and accounts whose record made wrong bills, and since when it is right.
select l.evidence -> 'source' ->> 'entity', min(l.done_at)
from benefit.ledger l
where l.source in ('proposal', 'conflict') and l.done_at < %(until)s
  and (%(organisation)s::text is null or l.organisation in (select code from rollout.below(%(organisation)s, now())))
  and l.evidence -> 'source' ->> 'entity_kind' in ('meter', 'account', 'usage_point')
  and l.evidence -> 'source' ->> 'field' in ('multiplier', 'tariff_class', 'account', 'meter', 'usage_point', 'status')
group by 1
order by 1
