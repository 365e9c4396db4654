-- name: stage
create temporary table stage_substation (
  code text, name text, high_voltage_v integer, medium_voltage_v integer
) on commit drop;
create temporary table stage_unit (
  ordinal integer, code text, kind text, name text, substation text, gateway text, owner text, rating_va integer,
  no_load_loss_w double precision, load_loss_w double precision,
  longitude_deg double precision, latitude_deg double precision, metered_side text
) on commit drop;
create temporary table stage_account (
  code text, tariff_class text, contract_w integer, status text
) on commit drop;
create temporary table stage_meter (
  code text, accuracy_class real, register_modulus_wh bigint, ct_class real, pt_class real, usage_point text,
  account text
) on commit drop;
create temporary table stage_member (
  unit text, ordinal integer, meter text, child text, role smallint, multiplier integer, phases text
) on commit drop;
create temporary table stage_area_network (
  area text, parent smallint[], resistance_ohm double precision[], reactance_ohm double precision[],
  zero_resistance_ohm double precision[], zero_reactance_ohm double precision[], meters text[], meter_node smallint[]
) on commit drop;
-- Units whose workers must load them anew, and those of them whose results may be others.
create temporary table changed_unit (unit_id integer) on commit drop;
create temporary table resettled_unit (unit_id integer) on commit drop;
create temporary table changed_account (account_id integer) on commit drop;
create temporary table changed_meter (meter_id integer) on commit drop;
-- What has a greater number is new.
create temporary table newest on commit drop as
select
  (select coalesce(max(unit_id), 0) from grid.unit) as unit_id,
  (select coalesce(max(meter_id), 0) from grid.meter) as meter_id

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

-- name: identities
-- What is there takes no number from a sequence, and the same model gets the same numbers in any new database.
insert into grid.unit (
  code, kind, name, substation, gateway, owner, rating_va, no_load_loss_w, load_loss_w, longitude_deg, latitude_deg,
  metered_side
)
select
  s.code, s.kind, s.name, s.substation, s.gateway, s.owner, s.rating_va, s.no_load_loss_w, s.load_loss_w,
  s.longitude_deg, s.latitude_deg, s.metered_side
from pg_temp.stage_unit s
where not exists (select from grid.unit u where u.code = s.code)
order by s.ordinal;
with changed as (
  update grid.unit u
  set kind = s.kind
  from pg_temp.stage_unit s
  where s.code = u.code and s.kind <> u.kind
  returning unit_id
)
insert into pg_temp.changed_unit select unit_id from changed;
insert into grid.account (code, tariff_class, contract_w, status)
select s.* from pg_temp.stage_account s where not exists (select from grid.account a where a.code = s.code);
insert into grid.meter (code, accuracy_class, register_modulus_wh, account)
select s.code, s.accuracy_class, s.register_modulus_wh, s.account
from pg_temp.stage_meter s
where not exists (select from grid.meter g where g.code = s.code);
insert into grid.usage_point (code)
select s.usage_point
from pg_temp.stage_meter s
where s.usage_point is not null and not exists (select from grid.usage_point p where p.code = s.usage_point);
create temporary table want_unit_state on commit drop as
select
  u.unit_id, s.name, s.substation, s.gateway, s.owner, s.rating_va, s.no_load_loss_w, s.load_loss_w,
  s.longitude_deg, s.latitude_deg, s.metered_side
from pg_temp.stage_unit s
join grid.unit u using (code);
create temporary table want_account_state on commit drop as
select a.account_id, s.tariff_class, s.contract_w, s.status
from pg_temp.stage_account s
join grid.account a using (code);
create temporary table want_meter_state on commit drop as
select
  g.meter_id, s.accuracy_class, s.register_modulus_wh, s.ct_class, s.pt_class, g.code, p.usage_point_id,
  a.account_id
from pg_temp.stage_meter s
join grid.meter g using (code)
left join grid.usage_point p on p.code = s.usage_point
left join grid.account a on a.code = s.account;
create temporary table want_area_network on commit drop as
select
  u.unit_id, s.parent, s.resistance_ohm, s.reactance_ohm, s.zero_resistance_ohm, s.zero_reactance_ohm, s.meters,
  s.meter_node
from pg_temp.stage_area_network s
join grid.unit u on u.code = s.area;
analyze pg_temp.want_unit_state;
analyze pg_temp.want_account_state;
analyze pg_temp.want_meter_state

-- name: state_differing
create temporary table {differing} on commit drop as
select w.{key} as id
from pg_temp.{wanted} w
where not exists (
  select
  from grid.{table} b
  where b.{key} = w.{key}
    and upper_inf(b.recorded)
    and b.valid @> tstzrange(%(valid_from)s, null)
    and row({believed_columns}) is not distinct from row({wanted_columns})
);
analyze pg_temp.{differing}

-- name: state_close
update grid.{table} b
set recorded = tstzrange(lower(b.recorded), %(instant)s)
from pg_temp.{differing} d
where b.{key} = d.id and upper_inf(b.recorded) and b.valid && tstzrange(%(valid_from)s, null)

-- name: state_keep
insert into grid.{table} ({key}, {columns}, valid, recorded)
select b.{key}, {believed_columns}, b.valid * tstzrange(null, %(valid_from)s), tstzrange(%(instant)s, null)
from pg_temp.{differing} d
join grid.{table} b on b.{key} = d.id
where upper(b.recorded) = %(instant)s and not isempty(b.valid * tstzrange(null, %(valid_from)s))

-- name: state_write
-- In an order that is not that of the keys: a gist index grows several times faster so.
insert into grid.{table} ({key}, {columns}, valid, recorded)
select w.{key}, {wanted_columns}, tstzrange(%(valid_from)s, null), tstzrange(%(instant)s, null)
from pg_temp.{differing} d
join pg_temp.{wanted} w on w.{key} = d.id
order by w.{key} %% 256, w.{key}

-- name: installations
-- A meter of the model stands where the model says, and nowhere else; no other meter stands there.
with closed as (
  update grid.installation b
  set recorded = tstzrange(lower(b.recorded), %(instant)s)
  where upper_inf(b.recorded)
    and b.valid && tstzrange(%(valid_from)s, null)
    and (
      b.meter_id in (select meter_id from pg_temp.want_meter_state)
      or b.usage_point_id in (select usage_point_id from pg_temp.want_meter_state)
    )
    and not (
      b.valid @> tstzrange(%(valid_from)s, null)
      and exists (
        select
        from pg_temp.want_meter_state w
        where w.meter_id = b.meter_id and w.usage_point_id = b.usage_point_id
      )
    )
  returning meter_id
)
insert into pg_temp.changed_meter select meter_id from closed;
insert into grid.installation (usage_point_id, meter_id, valid, recorded)
select b.usage_point_id, b.meter_id, b.valid * tstzrange(null, %(valid_from)s), tstzrange(%(instant)s, null)
from grid.installation b
where upper(b.recorded) = %(instant)s and not isempty(b.valid * tstzrange(null, %(valid_from)s));
with written as (
  insert into grid.installation (usage_point_id, meter_id, valid, recorded)
  select w.usage_point_id, w.meter_id, tstzrange(%(valid_from)s, null), tstzrange(%(instant)s, null)
  from pg_temp.want_meter_state w
  where w.usage_point_id is not null
    and not exists (
      select
      from grid.installation b
      where b.meter_id = w.meter_id
        and b.usage_point_id = w.usage_point_id
        and upper_inf(b.recorded)
        and b.valid @> tstzrange(%(valid_from)s, null)
    )
  order by w.meter_id %% 256, w.meter_id
  returning meter_id
)
insert into pg_temp.changed_meter select meter_id from written

-- name: services
with closed as (
  update grid.service b
  set recorded = tstzrange(lower(b.recorded), %(instant)s)
  where upper_inf(b.recorded)
    and b.valid && tstzrange(%(valid_from)s, null)
    and b.usage_point_id in (select usage_point_id from pg_temp.want_meter_state)
    and not (
      b.valid @> tstzrange(%(valid_from)s, null)
      and exists (
        select
        from pg_temp.want_meter_state w
        where w.usage_point_id = b.usage_point_id and w.account_id = b.account_id
      )
    )
  returning usage_point_id
)
insert into pg_temp.changed_meter
select w.meter_id from closed join pg_temp.want_meter_state w using (usage_point_id);
insert into grid.service (usage_point_id, account_id, valid, recorded)
select b.usage_point_id, b.account_id, b.valid * tstzrange(null, %(valid_from)s), tstzrange(%(instant)s, null)
from grid.service b
where upper(b.recorded) = %(instant)s and not isempty(b.valid * tstzrange(null, %(valid_from)s));
with written as (
  insert into grid.service (usage_point_id, account_id, valid, recorded)
  select w.usage_point_id, w.account_id, tstzrange(%(valid_from)s, null), tstzrange(%(instant)s, null)
  from pg_temp.want_meter_state w
  where w.usage_point_id is not null
    and w.account_id is not null
    and not exists (
      select
      from grid.service b
      where b.usage_point_id = w.usage_point_id
        and b.account_id = w.account_id
        and upper_inf(b.recorded)
        and b.valid @> tstzrange(%(valid_from)s, null)
    )
  order by w.usage_point_id %% 256, w.usage_point_id
  returning usage_point_id
)
insert into pg_temp.changed_meter
select w.meter_id from written join pg_temp.want_meter_state w using (usage_point_id)

-- name: switched
-- Areas that switches place elsewhere than the model says are no part of what it says of its feeders' members.
delete from pg_temp.stage_member
where child = any(%(switched)s) and unit in (select code from pg_temp.stage_unit where kind = 'feeder')

-- name: wanted
-- A member keeps its position for life, those that have left included; new ones are appended in the roster's order.
-- The same meter with another multiplier is another member: an interval that contains the change has both.
create temporary table wanted on commit drop as
with resolved as (
  select
    u.unit_id, s.ordinal, s.meter, g.meter_id, c.unit_id as child_id, u.kind as parent_kind, s.role, s.multiplier,
    s.phases
  from pg_temp.stage_member s
  join grid.unit u on u.code = s.unit
  left join grid.meter g on g.code = s.meter
  left join grid.unit c on c.code = s.child
), held as (
  select unit_id, meter, child_id, multiplier, min(position) as position
  from grid.member
  where unit_id in (select unit_id from resolved)
  group by unit_id, meter, child_id, multiplier
), used as (
  select unit_id, max(position) + 1 as size
  from grid.member
  where unit_id in (select unit_id from resolved)
  group by unit_id
)
select
  r.unit_id,
  coalesce(
    h.position,
    coalesce(n.size, 0) + row_number() over (partition by r.unit_id, h.position is null order by r.ordinal) - 1
  )::integer as position,
  r.meter,
  r.meter_id,
  r.child_id,
  r.parent_kind,
  r.role,
  r.multiplier,
  r.phases
from resolved r
left join held h
  on h.unit_id = r.unit_id
  -- Both are plain joins by hash; `is not distinct from` would not be.
  and coalesce(h.meter, '') = coalesce(r.meter, '')
  and coalesce(h.child_id, 0) = coalesce(r.child_id, 0)
  and h.multiplier = r.multiplier
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
-- units, and its meters and units where they are members elsewhere. Of regions, voltage levels and elements above its
-- units only a model that has such parents says anything.
create temporary table believed on commit drop as
select b.unit_id, b.position, b.meter, b.meter_id, b.child_id, b.role, b.multiplier, b.phases, b.valid
from grid.member b
where upper_inf(b.recorded)
  and b.valid && tstzrange(%(valid_from)s, null)
  and (
    b.unit_id in (select u.unit_id from grid.unit u join pg_temp.stage_unit s on s.code = u.code)
    or b.meter in (select meter from pg_temp.wanted)
    or b.child_id in (select child_id from pg_temp.wanted)
    and b.unit_id in (
      select unit_id
      from grid.unit
      where kind in (select parent_kind from pg_temp.wanted where child_id is not null)
    )
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
  bool_and(
    b.role = w.role
    and b.multiplier = w.multiplier
    and b.meter is not distinct from w.meter
    and b.child_id is not distinct from w.child_id
    and b.phases is not distinct from w.phases
  )
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
insert into grid.member (unit_id, position, meter, meter_id, child_id, role, multiplier, phases, valid, recorded)
select
  b.unit_id, b.position, b.meter, b.meter_id, b.child_id, b.role, b.multiplier, b.phases,
  b.valid * tstzrange(null, %(valid_from)s),
  tstzrange(%(instant)s, null)
from pg_temp.believed b
join pg_temp.differing using (unit_id, position)
where not isempty(b.valid * tstzrange(null, %(valid_from)s))

-- name: write
-- The order is that of one position of every unit after the other: gist grows faster so than in the order of its keys.
insert into grid.member (unit_id, position, meter, meter_id, child_id, role, multiplier, phases, valid, recorded)
select
  w.unit_id, w.position, w.meter, w.meter_id, w.child_id, w.role, w.multiplier, w.phases,
  tstzrange(%(valid_from)s, null),
  tstzrange(%(instant)s, null)
from pg_temp.wanted w
join pg_temp.differing using (unit_id, position)
order by w.position, w.unit_id

-- name: changed_states
-- An account concerns the units where it has meters, a meter those where it is a member; the accuracy of a unit's
-- gateways is used by the units above it.
insert into pg_temp.changed_unit
select id from pg_temp.differing_unit_state union select id from pg_temp.differing_area_network;
insert into pg_temp.resettled_unit select id from pg_temp.differing_area_network;
-- What a transformer loses is calculated from its plate.
insert into pg_temp.resettled_unit
select w.unit_id
from pg_temp.differing_unit_state d
join pg_temp.want_unit_state w on w.unit_id = d.id
join grid.unit_state b on b.unit_id = d.id and upper(b.recorded) = %(instant)s
where (b.rating_va, b.no_load_loss_w, b.load_loss_w, b.metered_side)
  is distinct from (w.rating_va, w.no_load_loss_w, w.load_loss_w, w.metered_side);
insert into pg_temp.changed_account select id from pg_temp.differing_account_state;
insert into pg_temp.changed_meter select id from pg_temp.differing_meter_state;
analyze pg_temp.changed_account;
analyze pg_temp.changed_meter;
insert into pg_temp.changed_unit
select m.unit_id
from pg_temp.changed_account
join grid.account a using (account_id)
join grid.meter g on g.account = a.code
join grid.member m on m.meter = g.code and upper_inf(m.recorded);
create temporary table member_of on commit drop as
select m.unit_id, m.role, m.meter_id
from (select distinct meter_id from pg_temp.changed_meter) c
join grid.meter g using (meter_id)
join grid.member m on m.meter = g.code and upper_inf(m.recorded);
create temporary table above on commit drop as
select distinct p.unit_id, o.meter_id
from pg_temp.member_of o
join grid.member p on p.child_id = o.unit_id and upper_inf(p.recorded)
where o.role & 1 = 1;
insert into pg_temp.changed_unit
select unit_id from pg_temp.member_of union select unit_id from pg_temp.above;
insert into pg_temp.resettled_unit
select unit_id
from (select unit_id, meter_id from pg_temp.member_of union select unit_id, meter_id from pg_temp.above) o
where meter_id in (select id from pg_temp.differing_meter_state)

-- name: changed_members
-- A unit that has come or gone must know its parents anew; a voltage level, which of its members are within others.
create temporary table of_members on commit drop as
with child as (
  select child_id from pg_temp.believed join pg_temp.differing using (unit_id, position) where child_id is not null
  union
  select child_id from pg_temp.wanted join pg_temp.differing using (unit_id, position) where child_id is not null
)
select unit_id from pg_temp.differing
union
select child_id from child
union
select l.unit_id
from child
join grid.member m on m.child_id = child.child_id and upper_inf(m.recorded)
join grid.unit l on l.unit_id = m.unit_id and l.kind = 'voltage_level';
insert into pg_temp.changed_unit select unit_id from pg_temp.of_members;
insert into pg_temp.resettled_unit select unit_id from pg_temp.of_members

-- name: rewired
-- The network has changed: lines have other losses.
insert into pg_temp.changed_unit
select unit_id from grid.unit where kind = 'feeder' and code in (select code from pg_temp.stage_unit);
insert into pg_temp.resettled_unit
select unit_id from grid.unit where kind = 'feeder' and code in (select code from pg_temp.stage_unit)

-- name: changed_parents
-- Areas that switches place elsewhere than was believed, and the feeders that they left or came to.
insert into pg_temp.changed_unit select unit_id from grid.unit where code = any(%(moved)s);
insert into pg_temp.resettled_unit select unit_id from grid.unit where code = any(%(moved)s)

-- name: present
-- New rows have it from the beginning, but for those of a model that holds later.
update grid.unit u
set
  name = s.name, substation = s.substation, gateway = s.gateway, owner = s.owner, rating_va = s.rating_va,
  no_load_loss_w = s.no_load_loss_w, load_loss_w = s.load_loss_w,
  longitude_deg = s.longitude_deg, latitude_deg = s.latitude_deg, metered_side = s.metered_side
from grid.unit_state s
join pg_temp.differing_unit_state d on d.id = s.unit_id
where s.unit_id = u.unit_id
  and upper_inf(s.recorded)
  and s.valid @> %(instant)s
  and (
    u.name, u.substation, u.gateway, u.owner, u.rating_va, u.no_load_loss_w, u.load_loss_w, u.longitude_deg,
    u.latitude_deg, u.metered_side
  ) is distinct from (
    s.name, s.substation, s.gateway, s.owner, s.rating_va, s.no_load_loss_w, s.load_loss_w, s.longitude_deg,
    s.latitude_deg, s.metered_side
  );
update grid.account a
set tariff_class = s.tariff_class, contract_w = s.contract_w, status = s.status
from grid.account_state s
join pg_temp.differing_account_state d on d.id = s.account_id
where s.account_id = a.account_id
  and upper_inf(s.recorded)
  and s.valid @> %(instant)s
  and (a.tariff_class, a.contract_w, a.status) is distinct from (s.tariff_class, s.contract_w, s.status);
update grid.meter g
set accuracy_class = coalesce(s.accuracy_class, g.accuracy_class),
  register_modulus_wh = s.register_modulus_wh,
  account = a.code
from (
  select distinct c.meter_id
  from pg_temp.changed_meter c, pg_temp.newest n
  where c.meter_id <= n.meter_id or %(valid_from)s > %(instant)s
) c
left join grid.meter_state s
  on s.meter_id = c.meter_id and upper_inf(s.recorded) and s.valid @> %(instant)s
left join grid.installation i
  on i.meter_id = c.meter_id and upper_inf(i.recorded) and i.valid @> %(instant)s
left join grid.service v
  on v.usage_point_id = i.usage_point_id and upper_inf(v.recorded) and v.valid @> %(instant)s
left join grid.account a on a.account_id = v.account_id
where g.meter_id = c.meter_id
  and (g.accuracy_class, g.register_modulus_wh, g.account)
    is distinct from (coalesce(s.accuracy_class, g.accuracy_class), s.register_modulus_wh, a.code)

-- name: counts
select
  (select count(distinct unit_id) from (
    select id as unit_id from pg_temp.differing_unit_state
  ) u),
  (select count(*) from pg_temp.changed_account),
  (select count(distinct meter_id) from pg_temp.changed_meter)

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

-- name: resettle
-- A unit that is new has nothing that was settled.
insert into grid.outbox (aggregatetype, aggregateid, type, payload, recorded_at)
select
  'resettle', u.code, 'unit.resettle',
  jsonb_build_object('unit', u.code, 'from', %(valid_from_text)s::text, 'to', null, 'model_version', %(version)s::bigint),
  %(instant)s
from grid.unit u, pg_temp.newest n
where u.unit_id in (select unit_id from pg_temp.resettled_unit) and u.unit_id <= n.unit_id
order by u.unit_id

-- name: statistics
-- For whoever reads the model next: with nothing known of full tables the planner scans one for each member.
select grid.renew_statistics()
