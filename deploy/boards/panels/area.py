"""Panels of one transformer area. Readings come as aggregates of five meters or more: no customer's figures."""

# ruff: noqa: S608 - the statements are put together from the constants of this folder, never from input

from __future__ import annotations

from deploy.boards.model import Colour, Column, Panel, Picture, Step, Unit
from deploy.boards.panels.alerts import alert_columns, alert_rows
from deploy.boards.panels.parts import BUCKET, SERIES, WITHIN_DAY
from deploy.boards.panels.unit import unit_days, unit_loss, unit_now, unit_power

AREA_NOW = unit_now("area")
AREA_POWER = unit_power("area")
AREA_LOSS = unit_loss("area")
AREA_DAYS = unit_days("area")

AREA_COVERAGE = Panel(
    key="area_coverage",
    title="Coverage and estimated share",
    description="Share of the members that were measured, and of the energy that was estimated.",
    picture=Picture.LINES,
    unit=Unit.FRACTION,
    sql=f"""
select
  {BUCKET.replace("observed_at", "b.observed_at")} as time,
  avg(b.coverage) as coverage,
  (sum(b.estimated_wh) / nullif(sum(b.inflow_wh + b.outflow_wh), 0))::float8 as estimated
from grid.unit u
cross join lateral {SERIES} b
where u.code = ${{area:sqlstring}}
group by 1
order by 1
""",
    columns=(Column("coverage", "Coverage"), Column("estimated", "Estimated")),
)

# The newest interval with readings: of the last two days, by the primary key.
_NEWEST = f"""(
  select b.observed_at, b.interval_s
  from loss.balance b
  where b.unit_id = u.unit_id and b.observed_at > now() - interval '2 days' and b.{WITHIN_DAY}
  order by b.observed_at desc
  limit 1
)"""

PHASES = Panel(
    key="phases",
    title="Phase balance, newest interval",
    description=(
        "Mean power of the customers' meters by phase, of five meters or more; a three-phase meter counts a third to "
        "each. A meter whose phase isn't known counts nowhere."
    ),
    picture=Picture.BARS,
    sql=f"""
select p.phase, p.power_w::float8 as power_w
from grid.unit u
cross join lateral {_NEWEST} n
cross join lateral telemetry.area_phases(u.unit_id, n.observed_at - interval '1 second', n.observed_at) p
where u.code = ${{area:sqlstring}}
order by p.phase
""",
    columns=(Column("phase", "Phase"), Column("power_w", "Power", Unit.POWER_W, decimals=1)),
    nothing="Too few meters with a known phase",
)

VOLTAGES = Panel(
    key="voltages",
    title="Voltage by phase",
    description=(
        "Median voltage of the customers' meters by phase, of five meters or more, over at most the last two days of "
        "the range that is shown."
    ),
    picture=Picture.LINES,
    unit=Unit.VOLTS,
    sql=f"""
select
  {BUCKET.replace("observed_at", "p.observed_at")} as time,
  p.phase as metric,
  avg(p.voltage_v)::float8 as voltage_v
from grid.unit u
cross join lateral telemetry.area_phases(
  u.unit_id, greatest($__timeFrom(), $__timeTo() - interval '2 days'), $__timeTo()
) p
where u.code = ${{area:sqlstring}} and p.voltage_v is not null
group by 1, 2
order by 1, 2
""",
)


def _spread(key: str, title: str, measure: str, label: str, description: str) -> Panel:
    return Panel(
        key=key,
        title=title,
        description=description,
        picture=Picture.BARS,
        sql=f"""
select {label} as band, s.meters
from grid.unit u
cross join lateral {_NEWEST} n
cross join lateral telemetry.area_spread(u.unit_id, n.observed_at) s
where u.code = ${{area:sqlstring}} and s.measure = '{measure}'
order by s.low
""",
        columns=(Column("band", "Band"), Column("meters", "Meters", Unit.COUNT)),
        nothing="Too few meters",
    )


METERS_BY_VOLTAGE = _spread(
    "meters_by_voltage",
    "Meters by voltage, newest interval",
    "voltage_v",
    "s.low || '–' || s.low + 2 || ' V'",
    "How many customers' meters lie in which band of 2 V, in areas of five meters or more.",
)
METERS_BY_USE = _spread(
    "meters_by_use",
    "Meters by use, newest interval",
    "power_w",
    """case s.low when 0 then '0' when 1 then '< 0.1 kW' when 100 then '0.1–0.5 kW' when 500 then '0.5–1 kW'
  when 1000 then '1–2 kW' when 2000 then '2–5 kW' when 5000 then '5–10 kW' else '> 10 kW' end""",
    "How many customers' meters took how much, as mean power, in areas of five meters or more.",
)

SUSPECTED = Panel(
    key="suspected",
    title="Suspected: alerts and reasons",
    description="Alerts of the area that are not closed, the newest first. Revenue protection's board has more.",
    picture=Picture.TABLE,
    sql=alert_rows("u.code = ${area:sqlstring} and a.state <> 'closed'", "limit 50"),
    columns=alert_columns(),
    nothing="No alert",
)

AREA_REASONS = Panel(
    key="area_reasons",
    title="Why, in the range that is shown",
    description="Reasons that the area's intervals bear, by how many of them; at most the last 8 days.",
    picture=Picture.TABLE,
    sql=f"""
select
  r.name as reason,
  count(*) as intervals,
  extract(epoch from now() - max(b.observed_at))::float8 as age_s
from grid.unit u
join loss.balance b on b.unit_id = u.unit_id
join loss.reason r on r.bit & b.reasons <> 0
where u.code = ${{area:sqlstring}} and b.{WITHIN_DAY}
  and b.observed_at between greatest($__timeFrom(), $__timeTo() - interval '8 days') and $__timeTo()
group by r.name
order by intervals desc, reason
""",
    columns=(
        Column("reason", "Reason"),
        Column("intervals", "Intervals", Unit.COUNT, below=Colour.PLAIN, steps=(Step(1, Colour.WARNING),)),
        Column("age_s", "Last", Unit.SECONDS, decimals=0, width_px=90),
    ),
    nothing="No reason to doubt",
)
