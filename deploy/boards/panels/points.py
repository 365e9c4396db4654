"""Panels of SCADA points: last known values, how old, how good."""

# ruff: noqa: S608 - the statements are put together from the constants of this folder, never from input

from __future__ import annotations

from deploy.boards.model import Colour, Column, Panel, Picture, Step, Unit, Word
from deploy.boards.panels.parts import AGE, age_of

# A value is known for two cycles; flags are those of IEC 60870-5-101.
_STATE = """case
    when l.observed_at is null then 'silent'
    when now() - l.observed_at > 2 * p.cycle_s * interval '1 second' then 'stale'
    when l.quality & 128 <> 0 then 'invalid'
    when l.quality & 64 <> 0 then 'old'
    when l.quality & 16 <> 0 then 'blocked'
    when l.quality & 1 <> 0 then 'overflow'
    when l.quality & 32 <> 0 then 'substituted'
    else 'good'
  end"""

POINTS_BY_STATE = Panel(
    key="points_by_state",
    title="SCADA points by state",
    description="Points by their last value: stale after two cycles without one, bad by the device's own word.",
    picture=Picture.FIGURES,
    sql=f"""
with point as (
  select {_STATE} as state
  from grid.point p
  left join telemetry.point_last l using (point_id)
)
select
  count(*) filter (where state = 'good') as good,
  count(*) filter (where state = 'substituted') as substituted,
  count(*) filter (where state in ('invalid', 'old', 'blocked', 'overflow')) as bad,
  count(*) filter (where state = 'stale') as stale,
  count(*) filter (where state = 'silent') as silent
from point
""",
    columns=(
        Column("good", "Good", Unit.COUNT),
        Column("substituted", "Substituted", Unit.COUNT, below=Colour.GOOD, steps=(Step(1, Colour.WARNING),)),
        Column("bad", "Bad", Unit.COUNT, below=Colour.GOOD, steps=(Step(1, Colour.BAD),)),
        Column("stale", "Stale", Unit.COUNT, below=Colour.GOOD, steps=(Step(1, Colour.BAD),)),
        Column("silent", "No data", Unit.COUNT, below=Colour.GOOD, steps=(Step(1, Colour.WARNING),)),
    ),
)


POINTS = Panel(
    key="points",
    title="SCADA points, last known values",
    description=(
        "What each point reported last, what is wrong first. A value that is stale is still the last that is known: "
        "its age says how far to trust it."
    ),
    picture=Picture.TABLE,
    sql=f"""
select
  u.name as unit,
  p.code as point,
  {_STATE} as state,
  {age_of("l")} as age_s,
  nullif(l.value, 'NaN') as value,
  case
    when p.kind = 'switch' then case l.value when 1 then 'closed' when 0 then 'open' else 'in between' end
    else p.unit_of_measure
  end as measure,
  p.meter
from grid.point p
join grid.unit u using (unit_id)
left join telemetry.point_last l using (point_id)
order by {_STATE} in ('good', 'substituted'), age_s desc nulls first, unit, point
limit 200
""",
    columns=(
        Column("unit", "Unit"),
        Column("point", "Point"),
        Column(
            "state",
            "State",
            words=(
                Word("good", "good", Colour.GOOD),
                Word("substituted", "substituted", Colour.WARNING),
                Word("invalid", "invalid", Colour.BAD),
                Word("old", "old", Colour.BAD),
                Word("blocked", "blocked", Colour.BAD),
                Word("overflow", "overflow", Colour.BAD),
                Word("stale", "stale", Colour.BAD),
                Word("silent", "no data", Colour.MUTED),
            ),
            width_px=110,
        ),
        AGE,
        Column("value", "Value", decimals=3),
        Column("measure", "", width_px=90),
        Column("meter", "Stands in for"),
    ),
    nothing="No point is known",
)
