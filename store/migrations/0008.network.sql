-- depends: 0005.balance_index
-- The medium-voltage network: which equipment joins which connectivity nodes, and how its switches stand over time.

create table grid.node (
  node_id integer generated always as identity primary key,
  code text not null unique,
  substation text not null references grid.substation (code)
);
create index node_substation on grid.node (substation);

create table grid.segment (
  segment_id integer generated always as identity primary key,
  code text not null unique,
  length_m double precision not null check (length_m >= 0),
  resistance_ohm double precision not null check (resistance_ohm >= 0),
  reactance_ohm double precision not null check (reactance_ohm >= 0)
);
comment on column grid.segment.resistance_ohm is 'Of the whole length';

create table grid.switch (
  switch_id integer generated always as identity primary key,
  code text not null unique,
  kind text not null check (kind in ('breaker', 'load_break', 'disconnector')),
  normal text not null check (normal in ('open', 'closed'))
);
comment on column grid.switch.normal is 'Position while no report says otherwise; a tie is open';

-- Which node or nodes a segment, a switch, an area or a feeder's head is connected to.
create table grid.connection (
  -- One number for all kinds of equipment, so that one constraint keeps them from being in two places.
  element bigint not null generated always as (
    case
      when segment_id is not null then segment_id::bigint * 3
      when switch_id is not null then switch_id::bigint * 3 + 1
      else unit_id::bigint * 3 + 2
    end
  ) stored,
  segment_id integer references grid.segment (segment_id),
  switch_id integer references grid.switch (switch_id),
  unit_id integer references grid.unit (unit_id),
  from_node_id integer not null references grid.node (node_id),
  to_node_id integer references grid.node (node_id),
  breaker_id integer references grid.switch (switch_id),
  valid tstzrange not null,
  recorded tstzrange not null default tstzrange(now(), null),
  primary key (element, valid, recorded),
  check (num_nonnulls(segment_id, switch_id, unit_id) = 1),
  check ((unit_id is null) = (to_node_id is not null)),
  check (breaker_id is null or unit_id is not null),
  -- The number as a range: a gist exclusion without the btree_gist extension.
  constraint connection_one_at_a_time exclude using gist (
    int8range(element, element, '[]') with &&,
    valid with &&,
    recorded with &&
  )
);
create index connection_from on grid.connection (from_node_id);
create index connection_to on grid.connection (to_node_id) where to_node_id is not null;
comment on column grid.connection.breaker_id is 'Of a feeder: the switch between the busbar and the node that it feeds';

create table grid.switch_position (
  switch_id integer not null references grid.switch (switch_id),
  position text not null check (position in ('open', 'closed')),
  valid tstzrange not null,
  recorded tstzrange not null default tstzrange(now(), null),
  primary key (switch_id, valid, recorded),
  constraint switch_position_one_at_a_time exclude using gist (
    int4range(switch_id, switch_id, '[]') with &&,
    valid with &&,
    recorded with &&
  )
);
comment on table grid.switch_position is 'A row begins with a report and ends with the next; reports that repeat a position are kept';

do $$
begin
  if exists (select from pg_roles where rolname = 'meterline_board') then
    grant select on grid.node, grid.segment, grid.switch, grid.connection, grid.switch_position to meterline_board;
  end if;
end
$$;
