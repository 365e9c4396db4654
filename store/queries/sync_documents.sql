-- name: substation
select s.code, jsonb_build_object('states', jsonb_build_array(jsonb_build_object(
  'from', null, 'to', null, 'name', s.name, 'high_voltage_v', s.high_voltage_v, 'medium_voltage_v', s.medium_voltage_v
)))
from grid.substation s
where {these}
order by s.code
limit %(limit)s

-- name: unit
select s.code, jsonb_build_object(
  'unit_kind', s.kind,
  'states', (
    select jsonb_agg(jsonb_build_object(
      'from', lower(t.valid), 'to', upper(t.valid), 'name', t.name, 'substation', t.substation, 'owner', t.owner,
      'rating_va', t.rating_va, 'no_load_loss_w', t.no_load_loss_w, 'load_loss_w', t.load_loss_w,
      'longitude_deg', t.longitude_deg, 'latitude_deg', t.latitude_deg, 'metered_side', t.metered_side
    ) order by lower(t.valid) nulls first)
    from grid.unit_state t
    where t.unit_id = s.unit_id and upper_inf(t.recorded)
  ),
  'parents', (
    select jsonb_agg(jsonb_build_object(
      'from', lower(m.valid), 'to', upper(m.valid), 'parent', p.code, 'parent_kind', p.kind
    ) order by lower(m.valid) nulls first, p.code)
    from grid.member m
    join grid.unit p on p.unit_id = m.unit_id
    where m.child_id = s.unit_id and upper_inf(m.recorded)
  ),
  'connections', (
    select jsonb_agg(jsonb_build_object(
      'from', lower(c.valid), 'to', upper(c.valid), 'node', n.code, 'breaker', b.code
    ) order by lower(c.valid) nulls first)
    from grid.connection c
    join grid.node n on n.node_id = c.from_node_id
    left join grid.switch b on b.switch_id = c.breaker_id
    where c.element = s.unit_id::bigint * 3 + 2 and upper_inf(c.recorded)
  )
)
from grid.unit s
where {these}
order by s.code
limit %(limit)s

-- name: meter
select s.code, jsonb_build_object(
  'states', (
    select jsonb_agg(jsonb_build_object(
      'from', lower(t.valid), 'to', upper(t.valid), 'accuracy_class', t.accuracy_class,
      'register_modulus_wh', t.register_modulus_wh, 'ct_class', t.ct_class, 'pt_class', t.pt_class
    ) order by lower(t.valid) nulls first)
    from grid.meter_state t
    where t.meter_id = s.meter_id and upper_inf(t.recorded)
  ),
  'members', (
    select jsonb_agg(jsonb_build_object(
      'from', lower(m.valid), 'to', upper(m.valid), 'unit', u.code, 'role', m.role, 'multiplier', m.multiplier,
      'phases', m.phases
    ) order by lower(m.valid) nulls first, u.code)
    from grid.member m
    join grid.unit u on u.unit_id = m.unit_id
    where m.meter_id = s.meter_id and upper_inf(m.recorded)
  ),
  'accounts', (
    select jsonb_agg(jsonb_build_object(
      'from', lower(i.valid * v.valid), 'to', upper(i.valid * v.valid), 'usage_point', p.code, 'account', a.code
    ) order by lower(i.valid * v.valid) nulls first)
    from grid.installation i
    join grid.usage_point p using (usage_point_id)
    join grid.service v on v.usage_point_id = i.usage_point_id and upper_inf(v.recorded) and v.valid && i.valid
    join grid.account a on a.account_id = v.account_id
    where i.meter_id = s.meter_id and upper_inf(i.recorded)
  )
)
from grid.meter s
where {these}
order by s.code
limit %(limit)s

-- name: account
select s.code, jsonb_build_object('states', (
  select jsonb_agg(jsonb_build_object(
    'from', lower(t.valid), 'to', upper(t.valid), 'tariff_class', t.tariff_class, 'contract_w', t.contract_w,
    'status', t.status
  ) order by lower(t.valid) nulls first)
  from grid.account_state t
  where t.account_id = s.account_id and upper_inf(t.recorded)
))
from grid.account s
where {these}
order by s.code
limit %(limit)s

-- name: switch
select s.code, jsonb_build_object(
  'switch_kind', s.kind, 'normal', s.normal,
  'connections', (
    select jsonb_agg(jsonb_build_object(
      'from', lower(c.valid), 'to', upper(c.valid), 'node', f.code, 'to_node', t.code
    ) order by lower(c.valid) nulls first)
    from grid.connection c
    join grid.node f on f.node_id = c.from_node_id
    join grid.node t on t.node_id = c.to_node_id
    where c.element = s.switch_id::bigint * 3 + 1 and upper_inf(c.recorded)
  )
)
from grid.switch s
where {these}
order by s.code
limit %(limit)s

-- name: segment
select s.code, jsonb_build_object(
  'length_m', s.length_m, 'resistance_ohm', s.resistance_ohm, 'reactance_ohm', s.reactance_ohm,
  'connections', (
    select jsonb_agg(jsonb_build_object(
      'from', lower(c.valid), 'to', upper(c.valid), 'node', f.code, 'to_node', t.code
    ) order by lower(c.valid) nulls first)
    from grid.connection c
    join grid.node f on f.node_id = c.from_node_id
    join grid.node t on t.node_id = c.to_node_id
    where c.element = s.segment_id::bigint * 3 and upper_inf(c.recorded)
  )
)
from grid.segment s
where {these}
order by s.code
limit %(limit)s

-- name: members_of
-- What is loaded with a unit: its substation, its meters and their accounts.
select 'meter', m.meter
from grid.unit u
join grid.member m on m.unit_id = u.unit_id and upper_inf(m.recorded) and m.meter is not null
where u.code = any(%(units)s)
union
select 'account', a.code
from grid.unit u
join grid.member m on m.unit_id = u.unit_id and upper_inf(m.recorded)
join grid.installation i on i.meter_id = m.meter_id and upper_inf(i.recorded)
join grid.service v on v.usage_point_id = i.usage_point_id and upper_inf(v.recorded)
join grid.account a on a.account_id = v.account_id
where u.code = any(%(units)s)
union
select 'substation', t.substation
from grid.unit u
join grid.unit_state t on t.unit_id = u.unit_id and upper_inf(t.recorded) and t.substation is not null
where u.code = any(%(units)s)

-- name: loss_day
select u.code || '/' || p.first_day, jsonb_build_object(
  'unit', u.code, 'day', p.first_day, 'revision', p.revision, 'status', p.status, 'class', p.class,
  'computable', p.computable, 'inflow_wh', p.inflow_wh, 'outflow_wh', p.outflow_wh, 'loss_wh', p.loss_wh,
  'technical_wh', p.technical_wh, 'sigma_wh', p.sigma_wh, 'estimated_wh', p.estimated_wh,
  'generation_wh', p.generation_wh, 'covered_s', p.covered_s, 'expected_s', p.expected_s, 'reasons', p.reasons
)
from unnest(%(codes)s::text[]) c(code)
join grid.unit u on u.code = left(c.code, -11)
join loss.period p on p.unit_id = u.unit_id and p.period = 'day' and p.first_day = right(c.code, 10)::date
where p.revision > 0

-- name: finding
-- What may leave the system: no evidence.
select f.finding_id::text, jsonb_build_object(
  'finding_kind', f.kind, 'severity', f.severity, 'unit', u.code, 'meter', f.meter, 'begin_at', f.begin_at,
  'ended_at', f.ended_at, 'figures', f.figures, 'result', f.result
)
from alerts.finding f
join grid.unit u using (unit_id)
where f.finding_id = any(%(codes)s::text[]::bigint[])

-- name: work_order
select w.work_order_id::text, jsonb_build_object(
  'alert_id', w.alert_id, 'state', w.state, 'assignee', w.assignee, 'created_at', w.created_at, 'deadline', w.deadline,
  'expected_wh', w.expected_wh, 'result', w.result, 'found_wh', w.found_wh, 'done_at', w.done_at, 'version', w.version
)
from alerts.work_order w
where w.work_order_id = any(%(codes)s::text[]::bigint[])

-- name: fresh_loss
-- Days that were published, and that this target isn't owed yet. A result bears the time at which its transaction
-- began, hence the look back.
select u.code || '/' || p.first_day, p.revision::bigint, p.recorded_at, 0::bigint
from loss.period_revision p
join grid.unit u using (unit_id)
where p.period = 'day' and p.revision > 0 and p.until_at is null
  and p.recorded_at > %(at)s - interval '10 minutes'
  and not exists (
    select from sync.delivery d
    where d.target = %(target)s and d.entity = 'loss_day:' || u.code || '/' || p.first_day and d.sequence = p.revision
  )
order by p.recorded_at
limit %(limit)s

-- name: fresh_findings
-- When they are opened, when they end, and when a field check has said what it was.
select f.finding_id::text, n.step::bigint, coalesce(f.ended_at, %(at)s), f.finding_id
from alerts.finding f
cross join lateral (select 1 + (f.ended_at is not null)::integer + 2 * (f.result is not null)::integer as step) n
where (
    f.finding_id > %(number)s - 1000
    or f.ended_at > %(at)s - interval '10 minutes'
    or f.alert_id in (select alert_id from alerts.work_order where done_at > %(at)s - interval '10 minutes')
  )
  and not exists (
    select from sync.delivery d
    where d.target = %(target)s and d.entity = 'finding:' || f.finding_id and d.sequence = n.step
  )
order by f.finding_id
limit %(limit)s

-- name: fresh_work_orders
select w.work_order_id::text, w.version::bigint, coalesce(w.done_at, w.created_at), w.work_order_id
from alerts.work_order w
where (w.work_order_id > %(number)s - 1000 or w.done_at > %(at)s - interval '10 minutes')
  and not exists (
    select from sync.delivery d
    where d.target = %(target)s and d.entity = 'work_order:' || w.work_order_id and d.sequence = w.version
  )
order by w.work_order_id
limit %(limit)s

-- name: feed
select at, number from sync.feed where target = %(target)s and subject = %(subject)s

-- name: begin_feed
-- A subscription tells of what comes from now on.
insert into sync.feed (target, subject, at, number)
values (%(target)s, %(subject)s, %(at)s, case %(subject)s
  when 'findings' then (select coalesce(max(finding_id), 0) + 1000 from alerts.finding)
  when 'work_orders' then (select coalesce(max(work_order_id), 0) + 1000 from alerts.work_order)
  else 0 end)
on conflict do nothing

-- name: move_feed
update sync.feed set at = greatest(at, %(at)s), number = greatest(number, %(number)s)
where target = %(target)s and subject = %(subject)s
