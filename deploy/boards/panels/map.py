"""Panels of the map: where units lie, and how a feeder's network is connected."""

# ruff: noqa: S608 - the statements are put together from the constants of this folder, never from input

from __future__ import annotations

from deploy.boards.model import Colour, Column, Panel, Picture, Word
from deploy.boards.panels.parts import (
    BALANCE,
    CLASS,
    CODE,
    FEEDER_OF,
    HERE,
    LAST_DAY,
    LOSS_RATE,
    SUPPLIES,
    has_feeder_here,
    is_here,
    to_area,
    to_feeder,
)

_PLACE = (
    Column("longitude_deg", "Longitude", hidden=True),
    Column("latitude_deg", "Latitude", hidden=True),
)

AREA_MAP = Panel(
    key="area_map",
    title="Areas by class of the last full day",
    description="Transformer areas where they stand, those that are not normal on top; at most 2,000.",
    picture=Picture.MAP,
    sql=f"""
with {HERE}, area as (
  select
    u.unit_id, u.name, u.code, u.longitude_deg, u.latitude_deg, coalesce(p.class, 'not_computable') as class,
    case when p.computable then p.loss_wh / nullif(p.inflow_wh, 0)::float8 end as loss_rate
  from grid.unit u
  left join loss.period p
    on p.unit_id = u.unit_id and p.period = 'day' and p.revision > 0 and p.first_day = {LAST_DAY}
  where u.kind = 'area' and u.longitude_deg is not null and u.latitude_deg is not null and {has_feeder_here()}
  order by array_position(array['high', 'negative', 'not_computable'], p.class) nulls last, u.unit_id
  limit 2000
)
select u.name, u.code, f.code as feeder_code, u.longitude_deg, u.latitude_deg, u.class, u.loss_rate
from area u
left join lateral {FEEDER_OF} f on true
""",
    columns=(
        Column("name", "Area", link=to_area()),
        CODE,
        Column("feeder_code", "Feeder code", hidden=True),
        *_PLACE,
        CLASS,
        LOSS_RATE,
    ),
    nothing="No area has a position",
)

FEEDER_MAP = Panel(
    key="feeder_map",
    title="Feeders by class now",
    description=(
        "Feeders in the middle of their areas, by the class of their newest interval; a feeder whose areas have no "
        "position is left out."
    ),
    picture=Picture.MAP,
    sql=f"""
with {HERE}
select u.name, u.code, g.longitude_deg, g.latitude_deg, coalesce(b.class, 'not_computable') as class,
  case when b.computable then b.loss_wh / nullif(b.inflow_wh, 0)::float8 end as loss_rate
from grid.unit u
left join lateral {BALANCE} b on true
cross join lateral (
  select
    coalesce(u.longitude_deg, avg(a.longitude_deg)) as longitude_deg,
    coalesce(u.latitude_deg, avg(a.latitude_deg)) as latitude_deg
  from grid.member m
  join grid.unit a on a.unit_id = m.child_id
  where u.longitude_deg is null and m.unit_id = u.unit_id and {SUPPLIES}
) g
where u.kind = 'feeder' and g.longitude_deg is not null and {is_here()}
order by u.code
limit 2000
""",
    columns=(Column("name", "Feeder", link=to_feeder()), CODE, *_PLACE, CLASS, LOSS_RATE),
    nothing="No feeder has a position",
)

# From the node that the feeder's breaker feeds, over what conducts now, at most 200 steps away.
_REACHED = """
with recursive feeder as (
  select u.unit_id, c.from_node_id
  from grid.unit u
  join grid.connection c on c.unit_id = u.unit_id and upper_inf(c.recorded) and c.valid @> now()
  where u.code = ${feeder:sqlstring}
), link as (
  select c.element, c.from_node_id, c.to_node_id, c.switch_id, coalesce(p.position, s.normal, 'closed') as position
  from grid.connection c
  join grid.node n on n.node_id = c.from_node_id
  left join grid.switch s on s.switch_id = c.switch_id
  left join grid.switch_position p on p.switch_id = c.switch_id and upper_inf(p.recorded) and p.valid @> now()
  where c.to_node_id is not null and upper_inf(c.recorded) and c.valid @> now()
    and n.substation = (select substation from grid.unit where code = ${feeder:sqlstring})
), reached as (
  select from_node_id as node_id from feeder
  union
  select case when l.from_node_id = r.node_id then l.to_node_id else l.from_node_id end
  from reached r
  join link l on r.node_id in (l.from_node_id, l.to_node_id) and l.position = 'closed'
)"""

NETWORK = Panel(
    key="network",
    title="Network of the feeder as it is switched now",
    description=(
        "Connectivity nodes that the feeder's breaker feeds over what conducts now, with the areas that hang on "
        "them, and the lines and switches between them; at most 500 nodes."
    ),
    picture=Picture.NETWORK,
    sql=f"""
{_REACHED}
select
  n.node_id::text as id,
  n.code as title,
  coalesce(string_agg(u.name, ', ' order by u.name), '') as subtitle,
  min(u.code) filter (where u.kind = 'area') as code,
  ${{feeder:sqlstring}} as feeder_code,
  case
    when bool_or(u.kind = 'feeder') then 'head'
    when count(p.class) filter (where p.class = 'high') > 0 then 'high'
    when count(p.class) filter (where p.class = 'negative') > 0 then 'negative'
    when count(u.unit_id) > 0 then 'area'
    else 'node'
  end as state
from reached r
join grid.node n using (node_id)
left join grid.connection c
  on c.from_node_id = n.node_id and c.unit_id is not null and upper_inf(c.recorded) and c.valid @> now()
left join grid.unit u on u.unit_id = c.unit_id
left join loss.period p
  on p.unit_id = u.unit_id and p.period = 'day' and p.revision > 0 and p.first_day = {LAST_DAY}
group by n.node_id, n.code
order by coalesce(bool_or(u.kind = 'feeder'), false) desc, n.node_id
limit 500
""",
    edges=f"""
{_REACHED}
select l.element::text as id, l.from_node_id::text as source, l.to_node_id::text as target, l.position as state
from link l
where l.from_node_id in (select node_id from reached) and l.to_node_id in (select node_id from reached)
order by l.element
limit 1000
""",
    columns=(
        Column("title", "Node", link=to_area()),
        Column("subtitle", "Hangs on it"),
        CODE,
        Column("feeder_code", "Feeder code", hidden=True),
        Column(
            "state",
            "State",
            words=(
                Word("head", "head of the feeder", Colour.PLAIN),
                Word("area", "area", Colour.GOOD),
                Word("high", "high loss", Colour.BAD),
                Word("negative", "negative loss", Colour.WARNING),
                Word("node", "node", Colour.MUTED),
            ),
        ),
    ),
    nothing="The network of this feeder isn't known",
)
