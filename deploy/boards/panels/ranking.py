"""Panels that rank feeders and areas: where loss and load are highest."""

# ruff: noqa: S608 - the statements are put together from the constants of this folder, never from input

from __future__ import annotations

from deploy.boards.model import Colour, Column, Panel, Picture, Step, Unit
from deploy.boards.panels.parts import (
    AGE,
    BALANCE,
    CLASS,
    CODE,
    COVERAGE,
    FEEDER_OF,
    HERE,
    LAST_DAY,
    LOAD,
    RATES,
    STATUS,
    SUPPLIES,
    age_of,
    has_feeder_here,
    is_here,
    rates_of,
    status_of,
    to_area,
    to_feeder,
)

FEEDERS = Panel(
    key="feeders",
    title="Loss now by feeder",
    description=(
        "The newest interval of each feeder, the 50 worst. Loss is the line's own; beside it what physics takes, and "
        "the loss with its areas. The band holds the true rate with 95 % confidence, and a class is given only where "
        "the whole band lies beyond the limit."
    ),
    picture=Picture.TABLE,
    sql=f"""
with {HERE}
select
  u.name as feeder,
  u.code,
  {status_of("b")} as status,
  {age_of("b")} as age_s,
  b.interval_s,
  b.inflow_wh as supply_wh,
  b.loss_wh,
  {rates_of("b")},
  case when b.computable then (b.loss_wh + b.members_loss_wh)::float8 / nullif(b.inflow_wh, 0) end as total_rate,
  b.class,
  b.coverage::float8 as coverage
from grid.unit u
left join lateral {BALANCE} b on true
where u.kind = 'feeder' and {is_here()}
order by loss_rate desc nulls last, feeder
limit 50
""",
    columns=(
        Column("feeder", "Feeder", link=to_feeder()),
        CODE,
        STATUS,
        AGE,
        Column("interval_s", "Interval", Unit.SECONDS, width_px=80),
        Column("supply_wh", "Supply", Unit.ENERGY_WH, decimals=1),
        Column("loss_wh", "Loss", Unit.ENERGY_WH, decimals=1),
        *RATES,
        Column("total_rate", "With areas", Unit.FRACTION, decimals=2),
        CLASS,
        COVERAGE,
    ),
    nothing="No feeder is known",
)


WORST_AREAS = Panel(
    key="worst_areas",
    title="Worst areas, today",
    description=(
        "Transformer areas by the loss rate of the local day so far, as far as it is published; before the first of "
        "it, of the day before. The class goes by the thresholds that hold."
    ),
    picture=Picture.TABLE,
    sql=f"""
with {HERE}, worst as (
  select
    u.unit_id, u.name, u.code, p.inflow_wh, p.loss_wh, p.class, p.covered_s, p.to_at,
    {rates_of("p")}
  from loss.period p
  join grid.unit u using (unit_id)
  where p.period = 'day' and p.first_day = (
      select max(first_day) from loss.period
      where period = 'day' and first_day > current_date - 40 and first_day <= current_date + 1 and covered_s > 0
    )
    and p.inflow_wh > 0 and u.kind = 'area' and {has_feeder_here()}
  order by loss_rate desc nulls last, u.name
  limit 20
)
select
  u.name as area,
  u.code,
  f.code as feeder_code,
  f.name as feeder,
  extract(epoch from now() - u.to_at)::float8 as age_s,
  u.inflow_wh as supply_wh,
  u.loss_wh,
  u.loss_rate,
  u.band,
  u.technical_rate,
  u.class,
  u.covered_s / 3600.0::float8 as hours
from worst u
left join lateral {FEEDER_OF} f on true
order by loss_rate desc nulls last, area
""",
    columns=(
        Column("area", "Area", link=to_area()),
        CODE,
        Column("feeder_code", "Feeder code", hidden=True),
        Column("feeder", "Feeder"),
        AGE,
        Column("supply_wh", "Supply", Unit.ENERGY_WH, decimals=1),
        Column("loss_wh", "Loss", Unit.ENERGY_WH, decimals=1),
        *RATES,
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
    sql=f"""
with {HERE}, area as (
  select p.class
  from grid.unit u
  left join loss.period p
    on p.unit_id = u.unit_id and p.period = 'day' and p.revision > 0 and p.first_day = {LAST_DAY}
  where u.kind = 'area' and {has_feeder_here()}
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


FEEDER_LOAD = Panel(
    key="feeder_load",
    title="Feeder load against rating",
    description=(
        "Mean power of the newest interval over the feeder's rating; where none is recorded, over the transformers' "
        "that hang on it. The highest twelve."
    ),
    picture=Picture.GAUGES,
    sql=f"""
with {HERE}, feeder as (
  select u.name, b.inflow_wh * 3600.0 / b.interval_s as power_w, coalesce(u.rating_va, r.rating_va) as rating_va
  from grid.unit u
  cross join lateral {BALANCE} b
  cross join lateral (
    select sum(a.rating_va) as rating_va
    from grid.member m
    join grid.unit a on a.unit_id = m.child_id
    where u.rating_va is null and m.unit_id = u.unit_id and {SUPPLIES}
  ) r
  where u.kind = 'feeder' and {is_here()}
)
select name as feeder, (power_w / rating_va)::float8 as load
from feeder
where rating_va > 0
order by load desc
limit 12
""",
    columns=(
        Column("feeder", "Feeder"),
        LOAD,
    ),
    nothing="No feeder with a rating",
)
