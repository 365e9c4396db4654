-- name: unit
-- What was believed at one instant (known_at) to hold at another (at), of a unit.
select u.unit_id, u.code, u.kind, s.name, s.substation, s.gateway, s.owner, s.rating_va, s.no_load_loss_w,
  s.load_loss_w, s.longitude_deg, s.latitude_deg,
  coalesce(s.metered_side, case u.kind when 'area' then 'low' when 'dedicated' then 'high' end) as metered_side
from grid.unit u
join grid.unit_state s on s.unit_id = u.unit_id and s.valid @> %(at)s::timestamptz
  and s.recorded @> %(known_at)s::timestamptz
where u.code = %(code)s

-- name: members
select m.position, m.meter, c.code as unit, m.role, m.multiplier, m.phases, s.accuracy_class, s.ct_class, s.pt_class,
  p.code as usage_point,
  a.code as account, lower(m.valid) as valid_from, upper(m.valid) as valid_to
from grid.member m
left join grid.unit c on c.unit_id = m.child_id
left join grid.meter_state s on s.meter_id = m.meter_id and s.valid @> %(at)s::timestamptz
  and s.recorded @> %(known_at)s::timestamptz
left join grid.installation i on i.meter_id = m.meter_id and i.valid @> %(at)s::timestamptz
  and i.recorded @> %(known_at)s::timestamptz
left join grid.usage_point p on p.usage_point_id = i.usage_point_id
left join grid.service v on v.usage_point_id = i.usage_point_id and v.valid @> %(at)s::timestamptz
  and v.recorded @> %(known_at)s::timestamptz
left join grid.account a on a.account_id = v.account_id
where m.unit_id = %(unit_id)s and m.valid @> %(at)s::timestamptz and m.recorded @> %(known_at)s::timestamptz
order by m.position

-- name: parents
select u.code as unit, u.kind, m.position, lower(m.valid) as valid_from, upper(m.valid) as valid_to
from grid.member m
join grid.unit u on u.unit_id = m.unit_id
where m.child_id = %(unit_id)s and m.valid @> %(at)s::timestamptz and m.recorded @> %(known_at)s::timestamptz
order by u.kind, u.code

-- name: responsible
select r.duty, o.code as organisation, s.name as organisation_name, p.code as person, p.role, p.display_name,
  lower(r.valid) as valid_from, upper(r.valid) as valid_to
from grid.responsibility r
left join grid.organisation o using (organisation_id)
left join grid.organisation_state s on s.organisation_id = r.organisation_id and s.valid @> %(at)s::timestamptz
  and s.recorded @> %(known_at)s::timestamptz
left join grid.person p using (person_id)
where r.unit_id = %(unit_id)s and r.valid @> %(at)s::timestamptz and r.recorded @> %(known_at)s::timestamptz
order by r.duty

-- name: meter
select g.meter_id, g.code, s.accuracy_class, s.ct_class, s.pt_class, s.register_modulus_wh, p.code as usage_point, a.code as account
from grid.meter g
join grid.meter_state s on s.meter_id = g.meter_id and s.valid @> %(at)s::timestamptz
  and s.recorded @> %(known_at)s::timestamptz
left join grid.installation i on i.meter_id = g.meter_id and i.valid @> %(at)s::timestamptz
  and i.recorded @> %(known_at)s::timestamptz
left join grid.usage_point p on p.usage_point_id = i.usage_point_id
left join grid.service v on v.usage_point_id = i.usage_point_id and v.valid @> %(at)s::timestamptz
  and v.recorded @> %(known_at)s::timestamptz
left join grid.account a on a.account_id = v.account_id
where g.code = %(code)s

-- name: meter_units
-- Every membership that was known then, before and after `at` as well, with the registers at its ends.
select u.code as unit, m.position, m.role, m.multiplier, m.phases, m.valid @> %(at)s::timestamptz as holds,
  lower(m.valid) as valid_from, upper(m.valid) as valid_to,
  f.import_wh as start_import_wh, f.export_wh as start_export_wh, l.import_wh as end_import_wh,
  l.export_wh as end_export_wh
from grid.member m
join grid.unit u on u.unit_id = m.unit_id
left join grid.register_reading f on f.meter_id = m.meter_id and f.read_at = lower(m.valid)
  and f.recorded @> %(known_at)s::timestamptz
left join grid.register_reading l on l.meter_id = m.meter_id and l.read_at = upper(m.valid)
  and l.recorded @> %(known_at)s::timestamptz
where m.meter = %(code)s and m.recorded @> %(known_at)s::timestamptz
order by lower(m.valid) nulls first, u.code

-- name: meter_installations
select p.code as usage_point, lower(i.valid) as valid_from, upper(i.valid) as valid_to
from grid.installation i
join grid.usage_point p using (usage_point_id)
where i.meter_id = %(meter_id)s and i.recorded @> %(known_at)s::timestamptz
order by lower(i.valid) nulls first

-- name: account
select a.account_id, a.code, s.tariff_class, s.contract_w, s.status, lower(s.valid) as valid_from,
  upper(s.valid) as valid_to
from grid.account a
join grid.account_state s on s.account_id = a.account_id and s.valid @> %(at)s::timestamptz
  and s.recorded @> %(known_at)s::timestamptz
where a.code = %(code)s

-- name: account_history
select s.tariff_class, s.contract_w, s.status, lower(s.valid) as valid_from, upper(s.valid) as valid_to
from grid.account_state s
where s.account_id = %(account_id)s and s.recorded @> %(known_at)s::timestamptz
order by lower(s.valid) nulls first

-- name: account_places
select p.code as usage_point, g.code as meter, u.code as unit, m.multiplier
from grid.service v
join grid.usage_point p using (usage_point_id)
left join grid.installation i on i.usage_point_id = v.usage_point_id and i.valid @> %(at)s::timestamptz
  and i.recorded @> %(known_at)s::timestamptz
left join grid.meter g on g.meter_id = i.meter_id
left join grid.member m on m.meter = g.code and m.valid @> %(at)s::timestamptz
  and m.recorded @> %(known_at)s::timestamptz
left join grid.unit u on u.unit_id = m.unit_id
where v.account_id = %(account_id)s and v.valid @> %(at)s::timestamptz and v.recorded @> %(known_at)s::timestamptz
order by p.code, u.code
