-- name: stage
create temporary table stage_substation (
  code text, name text, high_voltage_v integer, medium_voltage_v integer
) on commit drop;
create temporary table stage_unit (
  ordinal integer, code text, kind text, name text, substation text, gateway text, rating_va integer,
  no_load_loss_w double precision, load_loss_w double precision,
  longitude_deg double precision, latitude_deg double precision
) on commit drop;
create temporary table stage_account (
  code text, tariff_class text, contract_w integer, status text
) on commit drop;
create temporary table stage_meter (
  code text, accuracy_class real, account text
) on commit drop;
create temporary table stage_member (
  unit text, ordinal integer, meter text, child text, role smallint, multiplier integer
) on commit drop;
-- Units whose workers must load them anew.
create temporary table changed_unit (unit_id integer) on commit drop

-- name: analyze
analyze pg_temp.stage_unit;
analyze pg_temp.stage_account;
analyze pg_temp.stage_meter;
analyze pg_temp.stage_member

-- name: substations
insert into grid.substation as s (code, name, high_voltage_v, medium_voltage_v)
select * from pg_temp.stage_substation
on conflict (code) do update set
  name = excluded.name,
  high_voltage_v = excluded.high_voltage_v,
  medium_voltage_v = excluded.medium_voltage_v
where (s.name, s.high_voltage_v, s.medium_voltage_v)
  is distinct from (excluded.name, excluded.high_voltage_v, excluded.medium_voltage_v)

-- name: units
with written as (
  insert into grid.unit as u (
    code, kind, name, substation, gateway, rating_va, no_load_loss_w, load_loss_w, longitude_deg, latitude_deg
  )
  select
    s.code, s.kind, s.name, s.substation, s.gateway, s.rating_va, s.no_load_loss_w, s.load_loss_w,
    s.longitude_deg, s.latitude_deg
  from pg_temp.stage_unit s
  -- A unit that is there as it should be takes no number from the sequence.
  where not exists (
    select from grid.unit o
    where o.code = s.code
      and (
        o.kind, o.name, o.substation, o.gateway, o.rating_va, o.no_load_loss_w, o.load_loss_w,
        o.longitude_deg, o.latitude_deg
      ) is not distinct from (
        s.kind, s.name, s.substation, s.gateway, s.rating_va, s.no_load_loss_w, s.load_loss_w,
        s.longitude_deg, s.latitude_deg
      )
  )
  -- The same model gets the same ids in any new database.
  order by s.ordinal
  on conflict (code) do update set
    kind = excluded.kind,
    name = excluded.name,
    substation = excluded.substation,
    gateway = excluded.gateway,
    rating_va = excluded.rating_va,
    no_load_loss_w = excluded.no_load_loss_w,
    load_loss_w = excluded.load_loss_w,
    longitude_deg = excluded.longitude_deg,
    latitude_deg = excluded.latitude_deg
  returning unit_id
)
insert into pg_temp.changed_unit select unit_id from written

-- name: accounts
with written as (
  insert into grid.account as a (code, tariff_class, contract_w, status)
  select * from pg_temp.stage_account
  on conflict (code) do update set
    tariff_class = excluded.tariff_class,
    contract_w = excluded.contract_w,
    status = excluded.status
  where (a.tariff_class, a.contract_w, a.status)
    is distinct from (excluded.tariff_class, excluded.contract_w, excluded.status)
  returning code
), told as (
  insert into pg_temp.changed_unit
  select m.unit_id
  from written w
  join grid.meter g on g.account = w.code
  join grid.member m on m.meter = g.code and upper_inf(m.recorded)
)
select count(*) from written

-- name: meters
-- The accuracy of a unit's gateways is used by the units above it.
with written as (
  insert into grid.meter as g (code, accuracy_class, account)
  select * from pg_temp.stage_meter
  on conflict (code) do update set accuracy_class = excluded.accuracy_class, account = excluded.account
  where (g.accuracy_class, g.account) is distinct from (excluded.accuracy_class, excluded.account)
  returning code
), own as (
  select m.unit_id
  from written w
  join grid.member m on m.meter = w.code and upper_inf(m.recorded)
), told as (
  insert into pg_temp.changed_unit
  select unit_id from own
  union
  select p.unit_id from own join grid.member p on p.child_id = own.unit_id and upper_inf(p.recorded)
)
select count(*) from written

-- name: switched
-- Areas that switches place elsewhere than the model says are no part of what it says of its feeders' members.
delete from pg_temp.stage_member
where child = any(%(switched)s) and unit in (select code from pg_temp.stage_unit where kind = 'feeder')

-- name: wanted
-- A member keeps its position for life, those that have left included; new ones are appended in the roster's order.
create temporary table wanted on commit drop as
with resolved as (
  select u.unit_id, s.ordinal, s.meter, c.unit_id as child_id, s.role, s.multiplier
  from pg_temp.stage_member s
  join grid.unit u on u.code = s.unit
  left join grid.unit c on c.code = s.child
), held as (
  select unit_id, meter, child_id, min(position) as position
  from grid.member
  where unit_id in (select unit_id from resolved)
  group by unit_id, meter, child_id
), used as (
  select unit_id, max(position) + 1 as size from held group by unit_id
)
select
  r.unit_id,
  coalesce(
    h.position,
    coalesce(n.size, 0) + row_number() over (partition by r.unit_id, h.position is null order by r.ordinal) - 1
  )::integer as position,
  r.meter,
  r.child_id,
  r.role,
  r.multiplier
from resolved r
left join held h
  on h.unit_id = r.unit_id
  -- Both are plain joins by hash; `is not distinct from` would not be.
  and coalesce(h.meter, '') = coalesce(r.meter, '')
  and coalesce(h.child_id, 0) = coalesce(r.child_id, 0)
left join used n on n.unit_id = r.unit_id;
create index on pg_temp.wanted (unit_id, position);
create index on pg_temp.wanted (meter);
create index on pg_temp.wanted (child_id);
analyze pg_temp.wanted

-- name: longest_roster
select u.code, w.position + 1
from pg_temp.wanted w
join grid.unit u using (unit_id)
order by w.position desc
limit 1

-- name: believed
-- What is believed of the time from the given instant on, of every member that the model speaks of: members of its
-- units, and its meters and units where they are members elsewhere.
create temporary table believed on commit drop as
select b.unit_id, b.position, b.meter, b.child_id, b.role, b.multiplier, b.valid
from grid.member b
where upper_inf(b.recorded)
  and b.valid && tstzrange(%(valid_from)s, null)
  and (
    b.unit_id in (select u.unit_id from grid.unit u join pg_temp.stage_unit s on s.code = u.code)
    or b.meter in (select meter from pg_temp.wanted)
    or b.child_id in (select child_id from pg_temp.wanted)
  )
  and not (
    coalesce(b.child_id, 0) in (select u.unit_id from grid.unit u where u.code = any(%(switched)s))
    and b.unit_id in (select u.unit_id from grid.unit u where u.kind = 'feeder')
  );
create index on pg_temp.believed (unit_id, position);
analyze pg_temp.believed

-- name: differing
-- Positions to write again: believed but not wanted, wanted with other attributes, or not for all of the time.
create temporary table differing on commit drop as
select b.unit_id, b.position
from pg_temp.believed b
left join pg_temp.wanted w using (unit_id, position)
group by b.unit_id, b.position
having not coalesce(
  bool_and((b.role, b.multiplier) = (w.role, w.multiplier))
    and range_agg(b.valid) @> tstzrange(%(valid_from)s, null),
  false
)
union all
select unit_id, position
from pg_temp.wanted w
where not exists (select from pg_temp.believed b where (b.unit_id, b.position) = (w.unit_id, w.position));
create index on pg_temp.differing (unit_id, position);
analyze pg_temp.differing

-- name: close
update grid.member m
set recorded = tstzrange(lower(m.recorded), %(instant)s)
from pg_temp.differing d
where (m.unit_id, m.position) = (d.unit_id, d.position)
  and upper_inf(m.recorded)
  and m.valid && tstzrange(%(valid_from)s, null)

-- name: keep_before
insert into grid.member (unit_id, position, meter, child_id, role, multiplier, valid, recorded)
select
  b.unit_id, b.position, b.meter, b.child_id, b.role, b.multiplier,
  b.valid * tstzrange(null, %(valid_from)s),
  tstzrange(%(instant)s, null)
from pg_temp.believed b
join pg_temp.differing using (unit_id, position)
where not isempty(b.valid * tstzrange(null, %(valid_from)s))

-- name: write
insert into grid.member (unit_id, position, meter, child_id, role, multiplier, valid, recorded)
select
  w.unit_id, w.position, w.meter, w.child_id, w.role, w.multiplier,
  tstzrange(%(valid_from)s, null),
  tstzrange(%(instant)s, null)
from pg_temp.wanted w
join pg_temp.differing using (unit_id, position)
order by w.unit_id, w.position

-- name: changed_members
-- A unit that has come or gone must know its parents anew.
insert into pg_temp.changed_unit
select unit_id from pg_temp.differing
union
select child_id from pg_temp.believed join pg_temp.differing using (unit_id, position) where child_id is not null
union
select child_id from pg_temp.wanted join pg_temp.differing using (unit_id, position) where child_id is not null

-- name: changed_parents
insert into pg_temp.changed_unit select unit_id from grid.unit where code = any(%(moved)s)

-- name: announce
insert into grid.outbox (aggregatetype, aggregateid, type, payload, recorded_at)
select
  'unit', u.code, 'unit.loaded',
  jsonb_build_object(
    'unit', u.code, 'units', jsonb_build_array(u.code), 'kind', u.kind, 'name', u.name,
    'valid_from', %(valid_from_text)s::text
  ),
  %(instant)s
from grid.unit u
where u.unit_id in (select unit_id from pg_temp.changed_unit)
order by u.unit_id

-- name: memberships
-- In every unit that the meter is believed to be, or to have been, a member of.
select m.unit_id, u.code, m.position, m.role, m.multiplier, lower(m.valid), upper(m.valid)
from grid.member m
join grid.unit u using (unit_id)
where m.meter = %(meter)s and upper_inf(m.recorded)
order by lower(m.valid) nulls first, m.unit_id

-- name: close_one
update grid.member
set recorded = tstzrange(lower(recorded), %(instant)s)
where unit_id = %(unit_id)s
  and position = %(position)s
  and upper_inf(recorded)
  and valid = tstzrange(%(valid_from)s, %(valid_to)s)

-- name: add_one
insert into grid.member (unit_id, position, meter, role, multiplier, valid, recorded)
values (
  %(unit_id)s, %(position)s, %(meter)s, %(role)s, %(multiplier)s,
  tstzrange(%(valid_from)s, %(valid_to)s), tstzrange(%(instant)s, null)
)

-- name: meter_exists
select from grid.meter where code = %(meter)s

-- name: account
select status from grid.account where code = %(account)s for update

-- name: set_account_status
update grid.account set status = %(status)s where code = %(account)s

-- name: account_units
select distinct u.code
from grid.meter g
join grid.member m on m.meter = g.code and upper_inf(m.recorded)
join grid.unit u using (unit_id)
where g.account = %(account)s
order by u.code

-- name: unit
select name from grid.unit where code = %(unit)s for update

-- name: set_unit_name
update grid.unit set name = %(name)s where code = %(unit)s
