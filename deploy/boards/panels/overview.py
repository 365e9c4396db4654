"""Panels of the whole grid or a part of it: what goes in and what is lost, now and over time."""

# ruff: noqa: S608 - the statements are put together from the constants of this folder, never from input

from __future__ import annotations

from deploy.boards.model import Colour, Column, Link, Panel, Picture, Step, Unit, Word
from deploy.boards.panels.parts import (
    AGE,
    BALANCE,
    BUCKET,
    CLASS,
    HERE,
    RATES,
    REGION,
    SERIES,
    STATUS,
    age_of,
    columns_with_band,
    is_here,
    lines_with_band,
    rates_of,
    status_of,
)

NOW = Panel(
    key="now",
    title="Supply and loss now",
    description="The newest interval of every feeder whose value is live; a feeder that went stale is left out.",
    picture=Picture.FIGURES,
    sql=f"""
with {HERE}, feeder as (
  select b.*, {status_of("b")} as status
  from grid.unit u
  left join lateral {BALANCE} b on true
  where u.kind = 'feeder' and {is_here()}
)
select
  sum(inflow_wh * 3600.0 / interval_s)::float8 as supply_w,
  (sum(loss_wh * 3600.0 / interval_s) filter (where computable)
    / nullif(sum(inflow_wh * 3600.0 / interval_s) filter (where computable), 0))::float8 as line_rate,
  (sum((loss_wh + members_loss_wh) * 3600.0 / interval_s) filter (where computable)
    / nullif(sum(inflow_wh * 3600.0 / interval_s) filter (where computable), 0))::float8 as total_rate,
  count(*) as feeders
from feeder
where status = 'live'
""",
    columns=(
        Column("supply_w", "Supply", Unit.POWER_W, decimals=1),
        Column("line_rate", "Loss of lines", Unit.FRACTION, decimals=2),
        Column("total_rate", "Loss with areas", Unit.FRACTION, decimals=2),
        Column("feeders", "Live feeders", Unit.COUNT, below=Colour.BAD, steps=(Step(1, Colour.GOOD),)),
    ),
    nothing="no live value",
)


PARTS = Panel(
    key="parts",
    title="Loss now by region, voltage level and busbar",
    description=(
        "The newest interval of each part of the grid, with all that is below it; of a voltage level, with what its "
        "own equipment loses. The band holds the true rate with 95 % confidence."
    ),
    picture=Picture.TABLE,
    sql=f"""
with {HERE}
select
  u.name as part,
  u.kind,
  case u.kind when 'region' then u.code else {REGION} end as region,
  coalesce(u.substation, '*') as substation,
  {status_of("b")} as status,
  {age_of("b")} as age_s,
  (b.inflow_wh * 3600.0 / b.interval_s)::float8 as supply_w,
  {rates_of("b", with_members=True)},
  b.class
from grid.unit u
left join lateral {BALANCE} b on true
where u.kind in ('region', 'voltage_level', 'element') and (u.kind = 'region' or {is_here()})
order by array_position(array['region', 'voltage_level', 'element'], u.kind), loss_rate desc nulls last, u.name
limit 100
""",
    columns=(
        Column(
            "part",
            "Part",
            link=Link(
                "Only this part",
                "meterline-control-room",
                values=(("region", "region"), ("substation", "substation")),
            ),
        ),
        Column(
            "kind",
            "Kind",
            words=(
                Word("region", "region", Colour.PLAIN),
                Word("voltage_level", "voltage level", Colour.PLAIN),
                Word("element", "element", Colour.PLAIN),
            ),
            width_px=100,
        ),
        Column("region", "Region", hidden=True),
        Column("substation", "Substation", hidden=True),
        STATUS,
        AGE,
        Column("supply_w", "Supply", Unit.POWER_W, decimals=1),
        *RATES,
        CLASS,
    ),
    nothing="No region, voltage level or busbar is known",
)


SUPPLY = Panel(
    key="supply",
    title="Supply by busbar",
    description="Mean power that went out of each busbar; where none is known, into each region.",
    picture=Picture.LINES,
    unit=Unit.POWER_W,
    stacked=True,
    sql=f"""
with {HERE}, part as (
  select u.unit_id, u.name
  from grid.unit u
  where u.kind = 'element' and {is_here()}
    or u.kind = 'region' and not exists (select from grid.unit where kind = 'element')
  order by u.name
  limit 50
)
select
  {BUCKET.replace("observed_at", "b.observed_at")} as time,
  u.name as metric,
  (sum(b.inflow_wh) * 3600.0 / sum(b.interval_s))::float8 as power_w
from part u
cross join lateral {SERIES} b
where b.computable
group by 1, 2
order by 1, 2
""",
)


_LOSS = lines_with_band(
    "loss", "sum(b.loss_wh + b.members_loss_wh) / sum(b.inflow_wh)", "sum(b.total_sigma_wh) / sum(b.inflow_wh)"
)

LOSS = Panel(
    key="loss",
    title="Loss over time",
    description=(
        "Loss over supply with all that is below, and its 95 % band: of the regions, or of the chosen substation."
    ),
    picture=Picture.LINES,
    unit=Unit.FRACTION,
    sql=f"""
with {HERE}, part as (
  select u.unit_id
  from grid.unit u
  where case
    when ${{substation:sqlstring}} = '*' then u.kind = 'region' and ${{region:sqlstring}} in ('*', u.code)
    else u.kind = 'element' and {is_here()}
  end
)
select
  {BUCKET.replace("observed_at", "b.observed_at")} as time,
  {_LOSS}
from part u
cross join lateral {SERIES} b
where b.computable
group by 1
having sum(b.inflow_wh) > 0
order by 1
""",
    columns=columns_with_band("loss", "Loss"),
    band=("loss_low", "loss_high"),
)
