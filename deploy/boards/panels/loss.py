"""Panels of supply and loss."""

# ruff: noqa: S608 - the statements are put together from the constants of this folder, never from input

from __future__ import annotations

from deploy.boards.model import Colour, Column, Panel, Picture, Step, Unit
from deploy.boards.panels.parts import (
    AGE,
    BALANCE,
    BAND,
    BUCKET,
    CLASS,
    STATUS,
    WITHIN_DAY,
    age_of,
    class_of,
    status_of,
)

NOW = Panel(
    key="now",
    title="Supply and loss now",
    description="The newest interval of every feeder whose value is live; a feeder that went stale is left out.",
    picture=Picture.FIGURES,
    sql=f"""
with feeder as (
  select b.*, {status_of("b")} as status
  from grid.unit u
  left join lateral {BALANCE} b on true
  where u.kind = 'feeder'
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


FEEDERS = Panel(
    key="feeders",
    title="Loss now by feeder",
    description=(
        "The newest interval of each feeder. Loss is the line's own; beside it what physics takes, and the loss with "
        "its areas. The band holds the true rate with 95 % confidence, and a class is given only where the whole band "
        "lies beyond the limit."
    ),
    picture=Picture.TABLE,
    sql=f"""
select
  u.name as feeder,
  {status_of("b")} as status,
  {age_of("b")} as age_s,
  b.interval_s,
  b.inflow_wh as supply_wh,
  b.loss_wh,
  case when b.computable then b.loss_wh::float8 / nullif(b.inflow_wh, 0) end as loss_rate,
  case when b.computable then {BAND} * b.sigma_wh / nullif(b.inflow_wh, 0) end as band,
  case when b.computable then b.technical_wh / nullif(b.inflow_wh, 0) end as technical_rate,
  case when b.computable then (b.loss_wh + b.members_loss_wh)::float8 / nullif(b.inflow_wh, 0) end as total_rate,
  b.class,
  b.coverage::float8 as coverage
from grid.unit u
left join lateral {BALANCE} b on true
where u.kind = 'feeder'
order by loss_rate desc nulls last, feeder
""",
    columns=(
        Column("feeder", "Feeder"),
        STATUS,
        AGE,
        Column("interval_s", "Interval", Unit.SECONDS, width_px=80),
        Column("supply_wh", "Supply", Unit.ENERGY_WH, decimals=1),
        Column("loss_wh", "Loss", Unit.ENERGY_WH, decimals=1),
        Column("loss_rate", "Loss rate", Unit.FRACTION, decimals=2),
        Column("band", "± 95 %", Unit.FRACTION, decimals=2),
        Column("technical_rate", "Technical", Unit.FRACTION, decimals=2),
        Column("total_rate", "With areas", Unit.FRACTION, decimals=2),
        CLASS,
        Column(
            "coverage",
            "Coverage",
            Unit.FRACTION,
            decimals=0,
            below=Colour.WARNING,
            steps=(Step(0.995, Colour.GOOD),),
        ),
    ),
    nothing="No feeder is known",
)


WORST_AREAS = Panel(
    key="worst_areas",
    title="Worst areas, last 24 hours",
    description=(
        "Transformer areas by loss rate over the last 24 hours, from the intervals that could be computed. The "
        "systematic part of the error doesn't shrink with time, so the band adds up the bands of the intervals."
    ),
    picture=Picture.TABLE,
    sql=f"""
select
  u.name as area,
  {status_of("n")} as status,
  {age_of("n")} as age_s,
  d.supply_wh,
  d.loss_wh,
  d.loss_wh / d.supply_wh as loss_rate,
  {BAND} * d.sigma_wh / d.supply_wh as band,
  {class_of("d.loss_wh", "d.sigma_wh", "d.supply_wh", "true")} as class,
  d.hours
from (
  -- A day of all units lies together on disk, and would be read in bits unit by unit.
  select
    unit_id,
    sum(inflow_wh::float8) as supply_wh,
    sum(loss_wh::float8) as loss_wh,
    sum(sigma_wh) as sigma_wh,
    sum(interval_s)::float8 / 3600 as hours
  from loss.balance
  where observed_at > now() - interval '24 hours' and computable and {WITHIN_DAY}
  group by unit_id
) d
join grid.unit u using (unit_id)
left join lateral {BALANCE} n on true
where u.kind = 'area' and d.supply_wh > 0
order by loss_rate desc, area
limit 20
""",
    columns=(
        Column("area", "Area"),
        STATUS,
        AGE,
        Column("supply_wh", "Supply", Unit.ENERGY_WH, decimals=1),
        Column("loss_wh", "Loss", Unit.ENERGY_WH, decimals=1),
        Column("loss_rate", "Loss rate", Unit.FRACTION, decimals=2),
        Column("band", "± 95 %", Unit.FRACTION, decimals=2),
        CLASS,
        Column("hours", "Hours", Unit.COUNT, decimals=1, width_px=70),
    ),
    nothing="No area has been settled yet",
)


AREAS_BY_CLASS = Panel(
    key="areas_by_class",
    title="Areas, last full day",
    description=(
        "Transformer areas by the class of their last full local day that is published, by the thresholds that hold. "
        "Qualified is the part of all areas that is normal: what can't be computed isn't qualified."
    ),
    picture=Picture.FIGURES,
    sql="""
with area as (
  select p.class
  from grid.unit u
  left join loss.period p on p.unit_id = u.unit_id and p.period = 'day' and p.revision > 0 and p.first_day = (
    select max(first_day) from loss.period where period = 'day' and revision > 0 and ends_at <= now()
  )
  where u.kind = 'area'
)
select
  count(*) filter (where class = 'normal') / nullif(count(*), 0)::float8 as qualified,
  count(*) filter (where class = 'high') as high,
  count(*) filter (where class = 'negative') as negative,
  count(*) filter (where coalesce(class, 'not_computable') = 'not_computable') as not_computable
from area
""",
    columns=(
        Column("qualified", "Qualified", Unit.FRACTION, decimals=1),
        Column("high", "High", Unit.COUNT, below=Colour.GOOD, steps=(Step(1, Colour.BAD),)),
        Column("negative", "Negative", Unit.COUNT, below=Colour.GOOD, steps=(Step(1, Colour.WARNING),)),
        Column("not_computable", "Not computable", Unit.COUNT, below=Colour.GOOD, steps=(Step(1, Colour.MUTED),)),
    ),
    nothing="No area is known",
)


SUPPLY = Panel(
    key="supply",
    title="Supply by substation",
    description=(
        "Mean power that the feeders took. A line ends where the first of its live feeders ends, so that one that is "
        "late doesn't look like a drop."
    ),
    picture=Picture.LINES,
    unit=Unit.POWER_W,
    stacked=True,
    sql=f"""
with feeder as (
  select u.unit_id, coalesce(s.name, 'no substation') as substation, n.observed_at, {status_of("n")} as status
  from grid.unit u
  left join grid.substation s on s.code = u.substation
  cross join lateral {BALANCE} n
  where u.kind = 'feeder'
), edge as (
  select substation, min(observed_at) filter (where status = 'live') as observed_at
  from feeder
  group by substation
)
select p.time, f.substation as metric, sum(p.power_w)::float8 as power_w
from feeder f
join edge e using (substation)
cross join lateral (
  select {BUCKET} as time, sum(inflow_wh) * 3600.0 / sum(interval_s) as power_w
  from loss.balance
  where unit_id = f.unit_id and {WITHIN_DAY}
    and $__timeFilter(observed_at)
    and observed_at <= coalesce(e.observed_at, 'infinity')
  group by 1
) p
group by 1, 2
order by 1, 2
""",
)


LOSS = Panel(
    key="loss",
    title="Loss over time",
    description="Loss of all feeders over their supply: of the lines themselves with a 95 % band, and with areas.",
    picture=Picture.LINES,
    unit=Unit.FRACTION,
    sql=f"""
select
  p.time,
  (sum(p.loss_wh) / sum(p.inflow_wh))::float8 as lines,
  ((sum(p.loss_wh) - {BAND} * sqrt(sum(p.sigma_wh ^ 2))) / sum(p.inflow_wh))::float8 as lines_low,
  ((sum(p.loss_wh) + {BAND} * sqrt(sum(p.sigma_wh ^ 2))) / sum(p.inflow_wh))::float8 as lines_high,
  (sum(p.total_wh) / sum(p.inflow_wh))::float8 as with_areas
from grid.unit u
cross join lateral (
  select
    {BUCKET} as time,
    sum(inflow_wh)::float8 as inflow_wh,
    sum(loss_wh)::float8 as loss_wh,
    sum(loss_wh + members_loss_wh)::float8 as total_wh,
    sum(sigma_wh) as sigma_wh
  from loss.balance
  where unit_id = u.unit_id and $__timeFilter(observed_at) and computable and {WITHIN_DAY}
  group by 1
) p
where u.kind = 'feeder'
group by 1
having sum(p.inflow_wh) > 0
order by 1
""",
    columns=(
        Column("lines", "Lines"),
        Column("lines_low", "Lines, low"),
        Column("lines_high", "Lines, high"),
        Column("with_areas", "With areas"),
    ),
    band=("lines_low", "lines_high"),
)
