"""Panels of switching: what stands otherwise than in normal state, and whom that leaves without supply."""

# ruff: noqa: S608 - the statements are put together from the constants of this folder, never from input

from __future__ import annotations

from deploy.boards.model import Colour, Column, Panel, Picture, Step, Unit, Word
from deploy.boards.panels.parts import EVERYWHERE, HERE, NOW, is_here, of_substation

_HERE = of_substation("select code from here")

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
with cut_off as (
  select u.unit_id, u.name
  from grid.connection c
  join grid.unit u on u.unit_id = c.unit_id and u.kind in ('area', 'dedicated')
  where upper_inf(c.recorded) and c.valid @> now() and u.unit_id not in (
    select m.child_id from grid.member m
    where m.child_id is not null and m.parent_kind = 3 and upper_inf(m.recorded) and m.valid @> now()
  )
  limit 1000
)
select
  u.name as area,
  f.name as feeder,
  extract(epoch from now() - upper(m.valid))::float8 as age_s
from cut_off u
cross join lateral (
  select m.unit_id, m.valid
  from grid.member m
  where m.child_id = u.unit_id and m.parent_kind = 3 and upper_inf(m.recorded) and upper(m.valid) <= now()
  order by lower(m.valid) desc
  limit 1
) m
join grid.unit f on f.unit_id = m.unit_id
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

# "Not in" is a hash whatever is known of the tables' sizes: "not exists" took seconds just after a model was loaded.
OUTAGES = Panel(
    key="outages",
    title="Outages and switching",
    description="Areas that no feeder supplies now, and switches that stand otherwise than in normal state.",
    picture=Picture.FIGURES,
    sql=f"""
with {HERE}
select
  (
    select count(*)
    from grid.connection c
    join grid.unit u on u.unit_id = c.unit_id and u.kind in ('area', 'dedicated')
    join grid.node n on n.node_id = c.from_node_id
    where {is_here("n")} and upper_inf(c.recorded) and c.valid @> now() and u.unit_id not in (
      select m.child_id from grid.member m where m.child_id is not null and m.parent_kind = 3 and {NOW}
    )
  ) as unsupplied,
  (
    select count(*)
    from grid.switch_position p
    join grid.switch s using (switch_id)
    where upper_inf(p.recorded) and p.valid @> now() and p.position <> s.normal and ({EVERYWHERE} or {_HERE})
  ) as off_normal
""",
    columns=(
        Column("unsupplied", "Areas without supply", Unit.COUNT, below=Colour.GOOD, steps=(Step(1, Colour.BAD),)),
        Column("off_normal", "Switches off normal", Unit.COUNT, below=Colour.GOOD, steps=(Step(1, Colour.WARNING),)),
    ),
)
