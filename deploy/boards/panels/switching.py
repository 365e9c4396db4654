"""Panels of switching: what stands otherwise than in normal state, and whom that leaves without supply."""

from __future__ import annotations

from deploy.boards.model import Colour, Column, Panel, Picture, Unit, Word

SWITCHES_OFF_NORMAL = Panel(
    key="switches_off_normal",
    title="Switches off their normal position",
    description="Switches that are reported otherwise than in normal state, the last that changed first.",
    picture=Picture.TABLE,
    sql="""
select
  s.code as switch,
  s.kind,
  p.position,
  n.substation,
  extract(epoch from now() - lower(p.valid))::float8 as age_s
from grid.switch_position p
join grid.switch s using (switch_id)
left join grid.connection c on c.switch_id = s.switch_id and upper_inf(c.recorded) and c.valid @> now()
left join grid.node n on n.node_id = c.from_node_id
where upper_inf(p.recorded) and p.valid @> now() and p.position <> s.normal
order by lower(p.valid) desc, s.code
limit 100
""",
    columns=(
        Column("switch", "Switch"),
        Column("kind", "Kind"),
        Column(
            "position",
            "Position",
            words=(Word("open", "open", Colour.WARNING), Word("closed", "closed", Colour.WARNING)),
            width_px=90,
        ),
        Column("substation", "Substation"),
        Column("age_s", "Since", Unit.SECONDS, decimals=0, width_px=90),
    ),
    nothing="Normal state",
)


UNSUPPLIED_AREAS = Panel(
    key="unsupplied_areas",
    title="Areas that no feeder supplies",
    description="Areas that switches have cut off every feeder, the last that lost its feeder first.",
    picture=Picture.TABLE,
    sql="""
select
  u.name as area,
  f.name as feeder,
  extract(epoch from now() - upper(m.valid))::float8 as age_s
from grid.connection c
join grid.unit u on u.unit_id = c.unit_id and u.kind <> 'feeder'
cross join lateral (
  select m.unit_id, m.valid
  from grid.member m
  join grid.unit p on p.unit_id = m.unit_id and p.kind = 'feeder'
  where m.child_id = u.unit_id and upper_inf(m.recorded) and lower(m.valid) <= now()
  order by lower(m.valid) desc
  limit 1
) m
join grid.unit f on f.unit_id = m.unit_id
where upper_inf(c.recorded) and c.valid @> now() and upper(m.valid) <= now()
order by upper(m.valid) desc, u.name
limit 100
""",
    columns=(
        Column("area", "Area"),
        Column("feeder", "Last feeder"),
        Column("age_s", "Since", Unit.SECONDS, decimals=0, width_px=90),
    ),
    nothing="Every area has a feeder",
)
