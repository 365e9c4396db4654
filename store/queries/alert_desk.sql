-- name: add_maintenance
insert into alerts.maintenance (unit_id, kinds, during, reason, created_by)
select unit_id, %(kinds)s, tstzrange(%(begins_at)s, %(ends_at)s), %(reason)s, %(created_by)s
from grid.unit where code = %(unit)s
returning maintenance_id

-- name: end_maintenance
update alerts.maintenance
set during = tstzrange(lower(during), %(at)s)
where maintenance_id = %(maintenance_id)s and lower(during) < %(at)s and upper(during) > %(at)s

-- name: cancel_maintenance
delete from alerts.maintenance where maintenance_id = %(maintenance_id)s and lower(during) >= %(at)s

-- name: list_maintenance
select m.maintenance_id, u.code, m.kinds, lower(m.during), upper(m.during), m.reason, m.created_by
from alerts.maintenance m
join grid.unit u using (unit_id)
where upper(m.during) > %(since)s
order by lower(m.during), m.maintenance_id
limit 1000

-- name: holidays
select day, working from alerts.holiday

-- name: list_holidays
select day, working, name from alerts.holiday order by day

-- name: set_holiday
insert into alerts.holiday (day, working, name) values (%(day)s, %(working)s, %(name)s)
on conflict (day) do update set working = excluded.working, name = excluded.name

-- name: unset_holiday
delete from alerts.holiday where day = %(day)s

-- name: add_order
insert into alerts.work_order (alert_id, assignee, created_at, created_by, deadline, expected_wh, evidence)
values (%(alert_id)s, %(assignee)s, %(created_at)s, %(created_by)s, %(deadline)s, %(expected_wh)s, %(evidence)s)
returning work_order_id

-- name: lock_order
select from alerts.work_order where work_order_id = %(work_order_id)s for update

-- name: read_order
select
  w.work_order_id, w.alert_id, a.fingerprint, a.role, u.code, a.meter, w.state, w.assignee, w.created_at, w.created_by,
  w.deadline, w.expected_wh, w.evidence, w.result, w.found_wh, w.note, w.done_at, w.done_by, w.version
from alerts.work_order w
join alerts.alert a using (alert_id)
join grid.unit u using (unit_id)
where w.work_order_id = %(work_order_id)s

-- name: list_orders
select
  w.work_order_id, w.alert_id, a.fingerprint, a.role, u.code, a.meter, w.state, w.assignee, w.created_at, w.created_by,
  w.deadline, w.expected_wh, w.evidence, w.result, w.found_wh, w.note, w.done_at, w.done_by, w.version
from alerts.work_order w
join alerts.alert a using (alert_id)
join grid.unit u using (unit_id)
where (%(state)s::text is null or w.state = %(state)s)
  and (%(assignee)s::text is null or w.assignee = %(assignee)s)
  and (%(alert_id)s::bigint is null or w.alert_id = %(alert_id)s)
  and (%(roles)s::text[] is null or a.role = any(%(roles)s))
  and (%(overdue_at)s::timestamptz is null or (w.state = 'issued' and w.deadline <= %(overdue_at)s))
  and (%(after)s = 0 or w.work_order_id < %(after)s)
order by w.work_order_id desc
limit %(limit)s

-- name: overdue
-- Of which nobody was told yet.
select w.work_order_id, w.alert_id, a.kind, u.code, a.meter, w.deadline, w.expected_wh
from alerts.work_order w
join alerts.alert a using (alert_id)
join grid.unit u using (unit_id)
where w.state = 'issued'
  and w.deadline <= %(now)s
  and not exists (
    select from alerts.finding f where f.fingerprint = 'order_overdue:' || w.work_order_id and f.ended_at is null
  )
order by w.work_order_id
limit 1000

-- name: ended_overdue
select f.fingerprint, u.code, f.begin_at, f.figures
from alerts.finding f
join grid.unit u using (unit_id)
left join alerts.work_order w on w.work_order_id = (f.figures ->> 'work_order')::bigint
where f.kind = %(kind)s and f.ended_at is null and w.state is distinct from 'issued'
order by f.finding_id
limit 1000

-- name: end_order
update alerts.work_order
set state = %(state)s, done_at = %(at)s, done_by = %(by)s, result = %(result)s, found_wh = %(found_wh)s,
  note = %(note)s, version = version + 1
where work_order_id = %(work_order_id)s

-- name: surroundings
select jsonb_build_object(
  'unit', u.code, 'kind', u.kind, 'name', u.name, 'substation', u.substation, 'rating_va', u.rating_va,
  'longitude_deg', u.longitude_deg, 'latitude_deg', u.latitude_deg,
  'above', (
    select coalesce(jsonb_agg(distinct p.code), '[]')
    from grid.member m
    join grid.unit p on p.unit_id = m.unit_id
    where m.child_id = u.unit_id and upper_inf(m.recorded) and m.valid @> %(now)s::timestamptz
  ),
  'responsible', (
    select coalesce(jsonb_agg(distinct coalesce(p.code, o.code)), '[]')
    from grid.responsibility r
    left join grid.person p using (person_id)
    left join grid.organisation o using (organisation_id)
    where r.unit_id = u.unit_id and upper_inf(r.recorded) and r.valid @> %(now)s::timestamptz
  ),
  'meters', (
    select count(*)
    from grid.member m
    where m.unit_id = u.unit_id and m.role & 2 = 2 and upper_inf(m.recorded) and m.valid @> %(now)s::timestamptz
  )
)
from grid.unit u
where u.unit_id = %(unit_id)s
