"""Panels of one unit, a feeder or an area: what goes in, what comes out, what is lost, and how sure that is."""

# ruff: noqa: S608 - the statements are put together from the constants of this folder, never from input

from __future__ import annotations

from deploy.boards.model import Colour, Column, Panel, Picture, Step, Unit
from deploy.boards.panels.parts import (
    AGE,
    BALANCE,
    BUCKET,
    CLASS,
    COVERAGE,
    RATES,
    SERIES,
    STATUS,
    age_of,
    columns_with_band,
    lines_with_band,
    rates_of,
    status_of,
)

_BUCKET = BUCKET.replace("observed_at", "b.observed_at")


def unit_now(variable: str) -> Panel:
    """The newest interval of the unit that a variable names."""
    return Panel(
        key=f"{variable}_now",
        title="Now",
        description=(
            "The newest interval. The band holds the true rate with 95 % confidence; a class is given only where the "
            "whole band lies beyond the limit."
        ),
        picture=Picture.FIGURES,
        sql=f"""
select
  {status_of("b")} as status,
  {age_of("b")} as age_s,
  (b.inflow_wh * 3600.0 / b.interval_s)::float8 as supply_w,
  {rates_of("b")},
  b.class,
  b.coverage::float8 as coverage
from grid.unit u
left join lateral {BALANCE} b on true
where u.code = ${{{variable}:sqlstring}}
""",
        columns=(
            STATUS,
            AGE,
            Column("supply_w", "Supply", Unit.POWER_W, decimals=1),
            *RATES,
            CLASS,
            COVERAGE,
        ),
        nothing="No such unit",
    )


def unit_power(variable: str) -> Panel:
    """Supply and sales of the unit that a variable names."""
    return Panel(
        key=f"{variable}_power",
        title="Supply and sold",
        description="Mean power that went in, and that came out; the part that was estimated stands by itself.",
        picture=Picture.LINES,
        unit=Unit.POWER_W,
        sql=f"""
select
  {_BUCKET} as time,
  (sum(b.inflow_wh) * 3600.0 / sum(b.interval_s))::float8 as supply_w,
  (sum(b.outflow_wh) * 3600.0 / sum(b.interval_s))::float8 as sold_w,
  (sum(b.estimated_wh) * 3600.0 / sum(b.interval_s))::float8 as estimated_w
from grid.unit u
cross join lateral {SERIES} b
where u.code = ${{{variable}:sqlstring}}
group by 1
order by 1
""",
        columns=(
            Column("supply_w", "Supply"),
            Column("sold_w", "Sold"),
            Column("estimated_w", "Estimated"),
        ),
    )


def unit_loss(variable: str) -> Panel:
    """Loss of the unit that a variable names, with its band, technical loss and limits."""
    return Panel(
        key=f"{variable}_loss",
        title="Loss with band, and technical loss",
        description=(
            "Loss over supply of the unit itself with its 95 % band, technical loss beside it, and the limits of its "
            "kind that hold now. The systematic part of the error doesn't shrink with time, "
            "so a band adds up its intervals'."
        ),
        picture=Picture.LINES,
        unit=Unit.FRACTION,
        sql=f"""
select
  {_BUCKET} as time,
  {lines_with_band("loss", "sum(b.loss_wh) / sum(b.inflow_wh)", "sum(b.sigma_wh) / sum(b.inflow_wh)")},
  (sum(b.technical_wh) / nullif(sum(b.inflow_wh) filter (where b.technical_wh is not null), 0))::float8 as technical,
  min(l.high_rate) as high_rate,
  min(l.low_rate) as low_rate
from grid.unit u
left join grid.substation s on s.code = u.substation
left join lateral loss.limits_of(u.kind, s.medium_voltage_v, now()) l on true
cross join lateral {SERIES} b
where u.code = ${{{variable}:sqlstring}} and b.computable
group by 1
having sum(b.inflow_wh) > 0
order by 1
""",
        columns=(
            *columns_with_band("loss", "Loss"),
            Column("technical", "Technical"),
            Column("high_rate", "Upper limit", limit=True),
            Column("low_rate", "Lower limit", limit=True),
        ),
        band=("loss_low", "loss_high"),
    )


def unit_days(variable: str) -> Panel:
    """The last 30 days of the unit that a variable names."""
    return Panel(
        key=f"{variable}_days",
        title="Last 30 days",
        description="Local days as they stand: their loss rate, class, and how often they were published.",
        picture=Picture.TABLE,
        sql=f"""
select
  to_char(p.first_day, 'YYYY-MM-DD') as day,
  p.inflow_wh as supply_wh,
  p.loss_wh,
  {rates_of("p")},
  p.class,
  p.covered_s / p.expected_s::float8 as coverage,
  p.estimated_share,
  p.status,
  p.revision,
  extract(epoch from now() - p.ends_at)::float8 as age_s
from grid.unit u
join loss.period p on p.unit_id = u.unit_id and p.period = 'day' and p.first_day > current_date - 31
where u.code = ${{{variable}:sqlstring}}
order by p.first_day desc
""",
        columns=(
            Column("day", "Day", width_px=100),
            Column("supply_wh", "Supply", Unit.ENERGY_WH, decimals=1),
            Column("loss_wh", "Loss", Unit.ENERGY_WH, decimals=1),
            *RATES,
            CLASS,
            COVERAGE,
            Column(
                "estimated_share",
                "Estimated",
                Unit.FRACTION,
                decimals=1,
                below=Colour.PLAIN,
                steps=(Step(0.05, Colour.WARNING),),
            ),
            Column("status", "Publication"),
            Column("revision", "Revision", width_px=80),
            Column("age_s", "Age", Unit.SECONDS, decimals=0, hidden=True),
        ),
        nothing="No day has been summed up yet",
    )
