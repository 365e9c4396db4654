-- name: memberships
-- In every unit that the meter is believed to be, or to have been, a member of.
select
  m.unit_id, u.code, m.position, m.role, m.multiplier, lower(m.valid), upper(m.valid), m.meter, m.child_id, m.phases
from grid.member m
join grid.unit u using (unit_id)
where m.meter = %(meter)s and upper_inf(m.recorded)
order by lower(m.valid) nulls first, m.unit_id

-- name: parents
-- Of a unit, in units of one kind.
select
  m.unit_id, u.code, m.position, m.role, m.multiplier, lower(m.valid), upper(m.valid), m.meter, m.child_id, m.phases
from grid.member m
join grid.unit u using (unit_id)
where m.child_id = %(child_id)s and u.kind = %(kind)s and upper_inf(m.recorded)
order by lower(m.valid) nulls first

-- name: units_above
-- Whose members the units were in a part of [from, to), as now believed.
select distinct u.code
from grid.unit c
join grid.member m on m.child_id = c.unit_id
join grid.unit u on u.unit_id = m.unit_id
where c.code = any(%(units)s)
  and upper_inf(m.recorded)
  and m.valid && tstzrange(%(valid_from)s, %(valid_to)s)
order by u.code

-- name: levels_above
-- Voltage levels of which a unit was a member in a part of [from, to), as now believed.
select distinct u.code
from grid.unit c
join grid.member m on m.child_id = c.unit_id
join grid.unit u on u.unit_id = m.unit_id
where c.code = %(unit)s
  and u.kind = 'voltage_level'
  and upper_inf(m.recorded)
  and m.valid && tstzrange(%(valid_from)s, %(valid_to)s)
order by u.code

-- name: is_part_of
-- Whether a unit is, at any time, part of another or of a part of it.
with recursive part as (
  select unit_id from grid.unit where code = %(whole)s
  union
  select m.child_id
  from part
  join grid.member m on m.unit_id = part.unit_id
  where m.child_id is not null and upper_inf(m.recorded)
)
select exists (select from part join grid.unit using (unit_id) where code = %(unit)s)

-- name: was_replaced
-- One transaction gave up the one and recorded the other.
select exists (
  select
  from grid.member o
  join grid.member n on n.unit_id = o.unit_id and lower(n.recorded) = upper(o.recorded)
  where o.meter = %(meter)s and n.meter = %(new_meter)s and o.valid @> %(at)s and lower(n.valid) = %(at)s
)

-- name: close_member
update grid.member
set recorded = tstzrange(lower(recorded), %(instant)s)
where unit_id = %(unit_id)s
  and position = %(position)s
  and upper_inf(recorded)
  and valid = tstzrange(%(valid_from)s, %(valid_to)s)

-- name: place
-- The same meter with the same multiplier takes its position again; anything else is appended.
select
  coalesce(
    (
      select min(position)
      from grid.member
      where unit_id = %(unit_id)s
        and meter is not distinct from %(meter)s
        and child_id is not distinct from %(child_id)s
        and multiplier = %(multiplier)s
    ),
    (select max(position) + 1 from grid.member where unit_id = %(unit_id)s),
    0
  )

-- name: add_member
insert into grid.member (unit_id, position, meter, child_id, role, multiplier, phases, valid, recorded)
values (
  %(unit_id)s, %(position)s, %(meter)s, %(child_id)s, %(role)s, %(multiplier)s, %(phases)s,
  tstzrange(%(valid_from)s, %(valid_to)s), tstzrange(%(instant)s, null)
)

-- name: unit
select unit_id, code, kind, name from grid.unit where code = %(code)s

-- name: meter_id
select meter_id from grid.meter where code = %(code)s

-- name: account_id
select account_id from grid.account where code = %(code)s

-- name: account_code
select code from grid.account where account_id = %(account_id)s

-- name: add_meter
insert into grid.meter (code, accuracy_class, register_modulus_wh)
values (%(code)s, %(accuracy_class)s, %(register_modulus_wh)s)
returning meter_id

-- name: account_units
-- Where the account is served at any time, as now believed.
select distinct u.code
from grid.service s
join grid.installation i using (usage_point_id)
join grid.member m on m.meter_id = i.meter_id and upper_inf(m.recorded)
join grid.unit u on u.unit_id = m.unit_id
where s.account_id = %(account_id)s and upper_inf(s.recorded) and upper_inf(i.recorded)
order by u.code

-- name: register
select belief_id, import_wh, export_wh
from grid.register_reading
where meter_id = %(meter_id)s and read_at = %(read_at)s and upper_inf(recorded)

-- name: close_register
update grid.register_reading set recorded = tstzrange(lower(recorded), %(instant)s) where belief_id = %(belief_id)s

-- name: add_register
insert into grid.register_reading (meter_id, read_at, import_wh, export_wh, recorded)
values (%(meter_id)s, %(read_at)s, %(import_wh)s, %(export_wh)s, tstzrange(%(instant)s, null))

-- name: present_unit
update grid.unit u
set
  name = s.name, substation = s.substation, gateway = s.gateway, owner = s.owner, rating_va = s.rating_va,
  no_load_loss_w = s.no_load_loss_w, load_loss_w = s.load_loss_w,
  longitude_deg = s.longitude_deg, latitude_deg = s.latitude_deg, metered_side = s.metered_side
from grid.unit_state s
where s.unit_id = u.unit_id
  and upper_inf(s.recorded)
  and s.valid @> %(instant)s::timestamptz
  and (s.unit_id = %(unit_id)s::integer or lower(s.valid) between %(since)s::timestamptz and %(instant)s::timestamptz)
  and (
    u.name, u.substation, u.gateway, u.owner, u.rating_va, u.no_load_loss_w, u.load_loss_w, u.longitude_deg,
    u.latitude_deg, u.metered_side
  ) is distinct from (
    s.name, s.substation, s.gateway, s.owner, s.rating_va, s.no_load_loss_w, s.load_loss_w, s.longitude_deg,
    s.latitude_deg, s.metered_side
  )

-- name: present_account
update grid.account a
set tariff_class = s.tariff_class, contract_w = s.contract_w, status = s.status
from grid.account_state s
where s.account_id = a.account_id
  and upper_inf(s.recorded)
  and s.valid @> %(instant)s::timestamptz
  and (s.account_id = %(account_id)s::integer or lower(s.valid) between %(since)s::timestamptz and %(instant)s::timestamptz)
  and (a.tariff_class, a.contract_w, a.status) is distinct from (s.tariff_class, s.contract_w, s.status)

-- name: present_meter
update grid.meter g
set
  accuracy_class = coalesce(s.accuracy_class, g.accuracy_class),
  register_modulus_wh = s.register_modulus_wh,
  account = a.code
from grid.meter c
left join grid.meter_state s on s.meter_id = c.meter_id and upper_inf(s.recorded) and s.valid @> %(instant)s::timestamptz
left join grid.installation i on i.meter_id = c.meter_id and upper_inf(i.recorded) and i.valid @> %(instant)s::timestamptz
left join grid.service v
  on v.usage_point_id = i.usage_point_id and upper_inf(v.recorded) and v.valid @> %(instant)s::timestamptz
left join grid.account a on a.account_id = v.account_id
where g.meter_id = c.meter_id
  and c.meter_id in (
    select unnest(%(meter_ids)s::integer[])
    union all
    select meter_id
    from grid.meter_state
    where upper_inf(recorded) and lower(valid) between %(since)s::timestamptz and %(instant)s::timestamptz
    union all
    select meter_id
    from grid.installation
    where upper_inf(recorded) and lower(valid) between %(since)s::timestamptz and %(instant)s::timestamptz
    union all
    select i.meter_id
    from grid.service v
    join grid.installation i using (usage_point_id)
    where upper_inf(v.recorded) and upper_inf(i.recorded) and lower(v.valid) between %(since)s::timestamptz and %(instant)s::timestamptz
  )
  and (g.accuracy_class, g.register_modulus_wh, g.account)
    is distinct from (coalesce(s.accuracy_class, g.accuracy_class), s.register_modulus_wh, a.code)
