-- depends: 0012.results
-- The low-voltage network of each area: a tree of lines, as arrays; node 0 is the transformer's busbar.
create table grid.area_network (
  belief_id bigint generated always as identity primary key,
  unit_id integer not null references grid.unit (unit_id),
  parent smallint[] not null,
  resistance_ohm double precision[] not null,
  reactance_ohm double precision[] not null,
  zero_resistance_ohm double precision[] not null,
  zero_reactance_ohm double precision[] not null,
  meters text[] not null,
  meter_node smallint[] not null,
  valid tstzrange not null check (not isempty(valid)),
  recorded tstzrange not null check (not isempty(recorded)),
  constraint area_network_once exclude using gist (grid.at(unit_id, 0) with &&, valid with &&, recorded with &&)
);
create index area_network_unit on grid.area_network (unit_id);
comment on column grid.area_network.parent is 'Of each node the one nearer to the busbar; -1 for the busbar itself';
comment on column grid.area_network.meter_node is 'Node of each of meters';
