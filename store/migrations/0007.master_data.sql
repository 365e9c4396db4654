-- depends: 0005.balance_index
-- Master data in two times: what holds when (valid), and from when to when it was believed (recorded).
-- grid.unit, grid.account and grid.meter name what there is; their other columns are the present of what is believed,
-- kept for those who look at now. What holds when stands in the tables below.

-- Overlapping beliefs can't be stored. Two whole numbers are a point, and a box of no size overlaps only its like: a
-- key for gist without the btree_gist extension, at a third of the cost of a range. Doubles hold such sums exactly.
-- Turned by 45°, since an index of boxes that all lie on a line along an axis has no areas to go by: ten times slower.
create function grid.at(first integer, second integer) returns box
language sql immutable parallel safe
return box(
  point(first::float8 + second, first::float8 - second),
  point(first::float8 + second, first::float8 - second)
);

-- Microseconds since 1970; null for a period without that end.
create function grid.us(instant timestamptz) returns bigint
language sql stable parallel safe
return (extract(epoch from instant) * 1000000)::bigint;

alter table grid.unit drop constraint unit_kind_check;
alter table grid.unit add constraint unit_kind_check
  check (kind in ('area', 'dedicated', 'feeder', 'region', 'voltage_level', 'element'));
alter table grid.unit add column owner text check (owner in ('utility', 'customer', 'other'));
alter table grid.account add column account_id integer generated always as identity unique;
alter table grid.meter add column meter_id integer generated always as identity unique;
alter table grid.meter add column register_modulus_wh bigint check (register_modulus_wh > 0);
alter table grid.meter add constraint meter_identity unique (meter_id, code);
comment on column grid.meter.register_modulus_wh is 'The register counts from 0 to this, less one, and begins anew';

create table grid.usage_point (
  usage_point_id integer generated always as identity primary key,
  code text not null unique
);

create table grid.unit_state (
  belief_id bigint generated always as identity primary key,
  unit_id integer not null references grid.unit (unit_id),
  name text not null,
  substation text references grid.substation (code),
  gateway text,
  owner text check (owner in ('utility', 'customer', 'other')),
  rating_va integer,
  no_load_loss_w double precision,
  load_loss_w double precision,
  longitude_deg double precision,
  latitude_deg double precision,
  valid tstzrange not null check (not isempty(valid)),
  recorded tstzrange not null check (not isempty(recorded)),
  constraint unit_state_once exclude using gist (grid.at(unit_id, 0) with &&, valid with &&, recorded with &&)
);
create index unit_state_unit on grid.unit_state (unit_id);

create table grid.account_state (
  belief_id bigint generated always as identity primary key,
  account_id integer not null references grid.account (account_id),
  tariff_class text not null,
  contract_w integer not null check (contract_w >= 0),
  status text not null check (status in ('active', 'closed')),
  valid tstzrange not null check (not isempty(valid)),
  recorded tstzrange not null check (not isempty(recorded)),
  constraint account_state_once exclude using gist (grid.at(account_id, 0) with &&, valid with &&, recorded with &&)
);
create index account_state_account on grid.account_state (account_id);

create table grid.meter_state (
  belief_id bigint generated always as identity primary key,
  meter_id integer not null references grid.meter (meter_id),
  accuracy_class real not null,
  register_modulus_wh bigint check (register_modulus_wh > 0),
  valid tstzrange not null check (not isempty(valid)),
  recorded tstzrange not null check (not isempty(recorded)),
  constraint meter_state_once exclude using gist (grid.at(meter_id, 0) with &&, valid with &&, recorded with &&)
);
create index meter_state_meter on grid.meter_state (meter_id);

-- A meter at a usage point (用电点), from its installation to its removal.
create table grid.installation (
  belief_id bigint generated always as identity primary key,
  usage_point_id integer not null references grid.usage_point (usage_point_id),
  meter_id integer not null references grid.meter (meter_id),
  valid tstzrange not null check (not isempty(valid)),
  recorded tstzrange not null check (not isempty(recorded)),
  constraint installation_one_meter exclude using gist (grid.at(usage_point_id, 0) with &&, valid with &&, recorded with &&),
  constraint installation_one_place exclude using gist (grid.at(meter_id, 0) with &&, valid with &&, recorded with &&)
);
create index installation_usage_point on grid.installation (usage_point_id);
create index installation_meter on grid.installation (meter_id);

-- The account that is served at a usage point.
create table grid.service (
  belief_id bigint generated always as identity primary key,
  usage_point_id integer not null references grid.usage_point (usage_point_id),
  account_id integer not null references grid.account (account_id),
  valid tstzrange not null check (not isempty(valid)),
  recorded tstzrange not null check (not isempty(recorded)),
  constraint service_one_account exclude using gist (grid.at(usage_point_id, 0) with &&, valid with &&, recorded with &&)
);
create index service_usage_point on grid.service (usage_point_id);
create index service_account on grid.service (account_id);

-- What a meter's register showed at an instant at which its membership begins or ends (换表起止码).
create table grid.register_reading (
  belief_id bigint generated always as identity primary key,
  meter_id integer not null references grid.meter (meter_id),
  read_at timestamptz not null,
  import_wh bigint check (import_wh >= 0),
  export_wh bigint check (export_wh >= 0),
  recorded tstzrange not null check (not isempty(recorded)),
  check (num_nonnulls(import_wh, export_wh) > 0),
  constraint register_reading_once exclude using gist (
    grid.at(meter_id, 0) with &&, tstzrange(read_at, read_at, '[]') with &&, recorded with &&
  )
);
create index register_reading_meter on grid.register_reading (meter_id, read_at);
comment on column grid.register_reading.import_wh is 'At the meter, before the multiplier';

-- Units, departments and crews of the utility (单位、部门、班组).
create table grid.organisation (
  organisation_id integer generated always as identity primary key,
  code text not null unique,
  kind text not null check (kind in ('unit', 'department', 'crew'))
);
create table grid.organisation_state (
  belief_id bigint generated always as identity primary key,
  organisation_id integer not null references grid.organisation (organisation_id),
  name text not null,
  parent_id integer references grid.organisation (organisation_id) check (parent_id <> organisation_id),
  valid tstzrange not null check (not isempty(valid)),
  recorded tstzrange not null check (not isempty(recorded)),
  constraint organisation_state_once exclude using gist (
    grid.at(organisation_id, 0) with &&, valid with &&, recorded with &&
  )
);
-- The least that a work order needs. A name is no history: it can be taken back for good.
create table grid.person (
  person_id integer generated always as identity primary key,
  code text not null unique,
  role text not null,
  display_name text
);
create table grid.responsibility (
  belief_id bigint generated always as identity primary key,
  unit_id integer not null references grid.unit (unit_id),
  duty smallint not null check (duty between 1 and 3),
  organisation_id integer references grid.organisation (organisation_id),
  person_id integer references grid.person (person_id),
  valid tstzrange not null check (not isempty(valid)),
  recorded tstzrange not null check (not isempty(recorded)),
  check (num_nonnulls(organisation_id, person_id) > 0),
  constraint responsibility_once exclude using gist (grid.at(unit_id, duty) with &&, valid with &&, recorded with &&)
);
create index responsibility_unit on grid.responsibility (unit_id);
comment on column grid.responsibility.duty is '1 operation (运检), 2 marketing (营销), 3 metering (计量)';

-- How often the model has changed; raised in the turn to write, so it rises in the order of commits.
create table grid.model_version (
  one boolean primary key default true check (one),
  version bigint not null
);
insert into grid.model_version (version) values (0);

-- Members: the meter by its number as well, the kind of a smaller unit's parent, and the phases.
alter table grid.member
  add column meter_id integer,
  add column parent_kind smallint,
  add column phases text check (phases in ('A', 'B', 'C', 'AB', 'BC', 'CA', 'ABC'));
update grid.member m set meter_id = g.meter_id from grid.meter g where g.code = m.meter;
update grid.member m
set parent_kind = array_position(array['area', 'dedicated', 'feeder', 'region', 'voltage_level', 'element'], u.kind)
from grid.unit u
where u.unit_id = m.unit_id and m.child_id is not null;

create function grid.complete_member() returns trigger
language plpgsql as $$
begin
  if new.meter is not null then
    select meter_id into new.meter_id from grid.meter where code = new.meter;
  else
    select array_position(array['area', 'dedicated', 'feeder', 'region', 'voltage_level', 'element'], kind)
    into new.parent_kind from grid.unit where unit_id = new.unit_id;
  end if;
  return new;
end
$$;
-- Who says both is believed: the foreign key and the check below hold them to it.
create trigger complete before insert on grid.member
for each row when (new.meter_id is null and new.parent_kind is null)
execute function grid.complete_member();

alter table grid.member drop constraint member_meter_fkey;
alter table grid.member
  add constraint member_meter_fkey foreign key (meter_id, meter) references grid.meter (meter_id, code),
  add constraint member_complete check (
    (meter is null) = (meter_id is null) and (child_id is null) = (parent_kind is null)
  ),
  drop constraint member_one_at_a_time,
  add constraint member_one_at_a_time exclude using gist (
    grid.at(unit_id, position) with &&, valid with &&, recorded with &&
  ),
  -- What is sold at a meter is sold in one unit; a gateway meter may stand between several, once in each.
  add constraint member_meter_once exclude using gist (
    grid.at(meter_id, case when role & 2 = 2 then 0 else unit_id end) with &&, valid with &&, recorded with &&
  ) where (meter_id is not null),
  -- A unit is part of one feeder, one region, one voltage level, one element at a time.
  add constraint member_parent_once exclude using gist (
    grid.at(child_id, parent_kind) with &&, valid with &&, recorded with &&
  ) where (child_id is not null);

-- What was believed until now, from when the model was first written.
create temporary table since on commit drop as
select
  tstzrange('2000-01-01 00:00:00+00', null) as valid,
  tstzrange(coalesce((select min(recorded_at) from grid.outbox), now()), null) as recorded;
insert into grid.unit_state (
  unit_id, name, substation, gateway, rating_va, no_load_loss_w, load_loss_w, longitude_deg, latitude_deg,
  valid, recorded
)
select
  unit_id, name, substation, gateway, rating_va, no_load_loss_w, load_loss_w, longitude_deg, latitude_deg,
  valid, recorded
from grid.unit, since;
insert into grid.account_state (account_id, tariff_class, contract_w, status, valid, recorded)
select account_id, tariff_class, contract_w, status, valid, recorded from grid.account, since;
insert into grid.meter_state (meter_id, accuracy_class, valid, recorded)
select meter_id, accuracy_class, valid, recorded from grid.meter, since;
insert into grid.usage_point (code) select code from grid.meter where account is not null order by meter_id;
insert into grid.installation (usage_point_id, meter_id, valid, recorded)
select p.usage_point_id, g.meter_id, valid, recorded from grid.usage_point p join grid.meter g using (code), since;
insert into grid.service (usage_point_id, account_id, valid, recorded)
select p.usage_point_id, a.account_id, valid, recorded
from grid.usage_point p
join grid.meter g using (code)
join grid.account a on a.code = g.account, since;

-- Changes that come into force later than they were written: see sync's service.
create index unit_state_begins on grid.unit_state (lower(valid)) where upper_inf(recorded);
create index account_state_begins on grid.account_state (lower(valid)) where upper_inf(recorded);
create index meter_state_begins on grid.meter_state (lower(valid)) where upper_inf(recorded);
create index installation_begins on grid.installation (lower(valid)) where upper_inf(recorded);
create index service_begins on grid.service (lower(valid)) where upper_inf(recorded);
