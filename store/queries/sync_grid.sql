-- name: feeders
select u.code, s.substation
from grid.unit u join grid.unit_state s using (unit_id)
where u.kind = 'feeder' and upper_inf(s.recorded) and s.valid @> now() and s.substation is not null

-- name: areas
select
  u.code, u.kind, p.code, s.rating_va::float8, s.no_load_loss_w, s.load_loss_w, s.longitude_deg, s.latitude_deg, n.code
from grid.unit u
join grid.unit_state s on s.unit_id = u.unit_id and upper_inf(s.recorded) and s.valid @> now()
left join grid.member m
  on m.child_id = u.unit_id and m.parent_kind = 3 and upper_inf(m.recorded) and m.valid @> now()
left join grid.unit p on p.unit_id = m.unit_id
left join grid.connection c on c.unit_id = u.unit_id and upper_inf(c.recorded) and c.valid @> now()
left join grid.node n on n.node_id = c.from_node_id
where u.kind in ('area', 'dedicated')
order by u.code

-- name: meters
-- A meter that is a member of several units counts where it is no tie.
select distinct on (g.code)
  g.code, u.code, coalesce(m.role, 0)::integer, coalesce(m.multiplier, 1)::float8, s.accuracy_class::numeric::float8, a.code
from grid.meter g
join grid.meter_state s on s.meter_id = g.meter_id and upper_inf(s.recorded) and s.valid @> now()
left join grid.member m on m.meter_id = g.meter_id and upper_inf(m.recorded) and m.valid @> now()
left join grid.unit u on u.unit_id = m.unit_id
left join grid.installation i on i.meter_id = g.meter_id and upper_inf(i.recorded) and i.valid @> now()
left join grid.service v on v.usage_point_id = i.usage_point_id and upper_inf(v.recorded) and v.valid @> now()
left join grid.account a on a.account_id = v.account_id
order by g.code, m.role

-- name: accounts
select a.code, s.tariff_class, s.contract_w::float8, s.status
from grid.account a
join grid.account_state s on s.account_id = a.account_id and upper_inf(s.recorded) and s.valid @> now()
order by a.code

-- name: segments
select e.code, f.code, t.code, e.length_m, e.resistance_ohm, e.reactance_ohm, null::text
from grid.segment e
join grid.connection c on c.segment_id = e.segment_id and upper_inf(c.recorded) and c.valid @> now()
join grid.node f on f.node_id = c.from_node_id
join grid.node t on t.node_id = c.to_node_id
order by e.code

-- name: switches
select e.code, f.code, t.code, null::float8, null::float8, null::float8, e.normal
from grid.switch e
join grid.connection c on c.switch_id = e.switch_id and upper_inf(c.recorded) and c.valid @> now()
join grid.node f on f.node_id = c.from_node_id
join grid.node t on t.node_id = c.to_node_id
order by e.code

-- name: breakers
select u.code, b.code
from grid.connection c
join grid.unit u on u.unit_id = c.unit_id
join grid.switch b on b.switch_id = c.breaker_id
where upper_inf(c.recorded) and c.valid @> now()

-- name: former
-- What held before now, and ended within three years; what is believed no more counts as well.
select 'meter', m.meter, 'multiplier', m.multiplier::float8, null::text
from grid.member m
where m.meter is not null
  and (upper(m.valid) between now() - interval '3 years' and now() or upper(m.recorded) > now() - interval '3 years')
union
select 'meter', m.meter, 'area', null, u.code
from grid.member m
join grid.unit u using (unit_id)
where m.meter is not null
  and u.kind in ('area', 'dedicated')
  and (upper(m.valid) between now() - interval '3 years' and now() or upper(m.recorded) > now() - interval '3 years')
union
select 'area', c.code, 'feeder', null, u.code
from grid.member m
join grid.unit u using (unit_id)
join grid.unit c on c.unit_id = m.child_id
where u.kind = 'feeder'
  and (upper(m.valid) between now() - interval '3 years' and now() or upper(m.recorded) > now() - interval '3 years')
union
select 'area', u.code, v.field, v.value, null
from grid.unit_state s
join grid.unit u using (unit_id)
cross join lateral (
  values ('rating_va', s.rating_va::float8), ('no_load_loss_w', s.no_load_loss_w), ('load_loss_w', s.load_loss_w)
) v(field, value)
where u.kind in ('area', 'dedicated')
  and (upper(s.valid) between now() - interval '3 years' and now() or upper(s.recorded) > now() - interval '3 years')
union
select 'account', a.code, v.field, v.number, v.text
from grid.account_state s
join grid.account a using (account_id)
cross join lateral (
  values ('contract_w', s.contract_w::float8, null), ('tariff_class', null, s.tariff_class), ('status', null, s.status)
) v(field, number, text)
where upper(s.valid) between now() - interval '3 years' and now() or upper(s.recorded) > now() - interval '3 years'

-- name: measured
select meter, area, confidence::float8
from sync.measured_area
where measured_at > %(at)s::timestamptz - interval '35 days'
order by meter
