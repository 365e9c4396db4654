"""Panels of one feeder: its areas, its transformers, what was switched, and why its loss changed."""

# ruff: noqa: S608 - the statements are put together from the constants of this folder, never from input

from __future__ import annotations

from deploy.boards.model import Colour, Column, Link, Panel, Picture, Unit, Word
from deploy.boards.panels.parts import (
    AGE,
    BALANCE,
    CLASS,
    CODE,
    COVERAGE,
    LOAD,
    RATES,
    STATUS,
    SUPPLIES,
    age_of,
    rates_of,
    status_of,
)
from deploy.boards.panels.unit import unit_days, unit_loss, unit_now, unit_power

FEEDER_NOW = unit_now("feeder")
FEEDER_POWER = unit_power("feeder")
FEEDER_LOSS = unit_loss("feeder")
FEEDER_DAYS = unit_days("feeder")

FEEDER_AREAS = Panel(
    key="feeder_areas",
    title="Areas, ranked by loss of the last full day",
    description=(
        "Areas of the feeder by the energy that they lost on the last local day that is published, and how fresh their "
        "newest interval is. A dedicated customer is left out: its figures are a single customer's."
    ),
    picture=Picture.TABLE,
    sql=f"""
select
  u.name as area,
  u.code,
  {status_of("b")} as status,
  {age_of("b")} as age_s,
  p.inflow_wh as supply_wh,
  p.loss_wh,
  {rates_of("p")},
  p.class,
  b.coverage::float8 as coverage
from grid.unit f
join grid.member m on m.unit_id = f.unit_id and m.child_id is not null and {SUPPLIES}
join grid.unit u on u.unit_id = m.child_id and u.kind = 'area'
left join lateral {BALANCE} b on true
left join lateral (
  select * from loss.period p
  where p.unit_id = u.unit_id and p.period = 'day' and p.revision > 0 and p.ends_at <= now()
    and p.first_day > current_date - 40
  order by p.first_day desc
  limit 1
) p on true
where f.code = ${{feeder:sqlstring}}
order by p.loss_wh desc nulls last, area
limit 200
""",
    columns=(
        Column(
            "area",
            "Area",
            link=Link(
                "Open the area",
                "meterline-area",
                values=(("area", "code"),),
                keep=("region", "substation", "feeder"),
            ),
        ),
        CODE,
        STATUS,
        AGE,
        Column("supply_wh", "Supply", Unit.ENERGY_WH, decimals=1),
        Column("loss_wh", "Loss", Unit.ENERGY_WH, decimals=1),
        *RATES,
        CLASS,
        COVERAGE,
    ),
    nothing="No area hangs on this feeder",
)


TRANSFORMERS = Panel(
    key="transformers",
    title="Transformer loading",
    description="Mean power of each area's newest interval over its transformer's rating, the highest 15.",
    picture=Picture.GAUGES,
    sql=f"""
select u.name as area, (b.inflow_wh * 3600.0 / b.interval_s / u.rating_va)::float8 as load
from grid.unit f
join grid.member m on m.unit_id = f.unit_id and m.child_id is not null and {SUPPLIES}
join grid.unit u on u.unit_id = m.child_id and u.kind = 'area' and u.rating_va > 0
cross join lateral {BALANCE} b
where f.code = ${{feeder:sqlstring}}
order by load desc
limit 15
""",
    columns=(
        Column("area", "Area"),
        LOAD,
    ),
    nothing="No transformer with a rating",
)


SWITCHING_EVENTS = Panel(
    key="switching_events",
    title="Switching and cut-overs",
    description=(
        "In the range of time that is shown: areas that came to the feeder or left it, and switches of its "
        "substation that were reported in another position."
    ),
    picture=Picture.TABLE,
    sql="""
with feeder as (
  select unit_id, substation from grid.unit where code = ${feeder:sqlstring}
), event as (
  select lower(m.valid) as at, 'came' as event, u.name as what
  from feeder f
  join grid.member m on m.unit_id = f.unit_id and m.child_id is not null and upper_inf(m.recorded)
  join grid.unit u on u.unit_id = m.child_id
  where lower(m.valid) between $__timeFrom() and $__timeTo()
  union all
  select upper(m.valid), 'left', u.name
  from feeder f
  join grid.member m on m.unit_id = f.unit_id and m.child_id is not null and upper_inf(m.recorded)
  join grid.unit u on u.unit_id = m.child_id
  where upper(m.valid) between $__timeFrom() and $__timeTo()
  union all
  select lower(p.valid), p.position, s.code
  from grid.switch_position p
  join grid.switch s using (switch_id)
  where upper_inf(p.recorded) and lower(p.valid) between $__timeFrom() and $__timeTo() and exists (
    select
    from grid.connection c
    join grid.node n on n.node_id = c.from_node_id
    join feeder f on f.substation = n.substation
    where c.element = s.switch_id::bigint * 3 + 1 and upper_inf(c.recorded) and c.valid @> lower(p.valid)
  )
)
select event, what, extract(epoch from now() - at)::float8 as age_s
from event
order by at desc
limit 100
""",
    columns=(
        Column(
            "event",
            "Event",
            words=(
                Word("came", "came", Colour.PLAIN),
                Word("left", "left", Colour.WARNING),
                Word("open", "opened", Colour.WARNING),
                Word("closed", "closed", Colour.GOOD),
            ),
            width_px=90,
        ),
        Column("what", "Area or switch"),
        Column("age_s", "Since", Unit.SECONDS, decimals=0, width_px=90),
    ),
    nothing="Nothing was switched",
)


CHANGE = Panel(
    key="change",
    title="Why the loss changed, last full day against the day before",
    description=(
        "From the loss of the day before to the loss of the last full day in parts that add up to the watt-hour, as "
        "`meterline why` finds them: topology, data quality, meters and CT, generation, technical, unexplained. A part "
        "for hours that one of the days lacks appears when the clock was changed."
    ),
    picture=Picture.WATERFALL,
    sql="""
with last as (
  select p.unit_id, max(p.first_day) as first_day
  from grid.unit u
  join loss.period p using (unit_id)
  where u.code = ${feeder:sqlstring} and p.period = 'day' and p.revision > 0 and p.ends_at <= now()
    and p.first_day > current_date - 40
  group by p.unit_id
), part as (
  select v.n, v.part, v.by_wh::float8 as by_wh
  from last
  join loss.day_change c using (unit_id, first_day)
  cross join lateral (
    values
      (1, 'before', before_wh),
      (2, 'length', length_wh),
      (3, 'topology', topology_wh),
      (4, 'data_quality', data_quality_wh),
      (5, 'meter', meter_wh),
      (6, 'generation', generation_wh),
      (7, 'technical', technical_wh),
      (8, 'unexplained', unexplained_wh),
      (
        9,
        'after',
        before_wh + length_wh + topology_wh + data_quality_wh + meter_wh + generation_wh + technical_wh + unexplained_wh
      )
  ) v (n, part, by_wh)
  where c.before_wh is not null and (v.part <> 'length' or v.by_wh <> 0)
)
select
  part,
  case when n in (1, 9) then 0 else sum(by_wh) over (order by n) - by_wh end as from_wh,
  case when n = 9 then by_wh else sum(by_wh) over (order by n) end as to_wh,
  case when n in (1, 9) then 'total' when by_wh >= 0 then 'rise' else 'fall' end as kind
from part
order by n
""",
    columns=(
        Column(
            "part",
            "Part",
            words=(
                Word("before", "day before", Colour.PLAIN),
                Word("length", "length of the day", Colour.PLAIN),
                Word("topology", "topology", Colour.PLAIN),
                Word("data_quality", "data quality", Colour.PLAIN),
                Word("meter", "meters and CT", Colour.PLAIN),
                Word("generation", "generation", Colour.PLAIN),
                Word("technical", "technical", Colour.PLAIN),
                Word("unexplained", "unexplained", Colour.PLAIN),
                Word("after", "last full day", Colour.PLAIN),
            ),
        ),
        Column("from_wh", "From", Unit.ENERGY_WH, decimals=1),
        Column("to_wh", "To", Unit.ENERGY_WH, decimals=1),
        Column(
            "kind",
            "Kind",
            words=(
                Word("rise", "more", Colour.BAD),
                Word("fall", "less", Colour.GOOD),
                Word("total", "total", Colour.MUTED),
            ),
        ),
    ),
    nothing="Not explained yet, or no two days to compare",
)
