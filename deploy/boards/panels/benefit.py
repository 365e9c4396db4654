"""Panels of what it brought: sums of the ledger and its newest entries, without what they rest on."""

from __future__ import annotations

from deploy.boards.model import Colour, Column, Panel, Picture, Unit, Word
from deploy.boards.panels.parts import AGE

ITEM = Column(
    "item",
    "Item",
    words=(
        Word("loss_avoided", "loss avoided", Colour.PLAIN),
        Word("recovered", "recovered", Colour.PLAIN),
        Word("visits", "visits", Colour.PLAIN),
        Word("outage", "outage", Colour.PLAIN),
    ),
)
BASIS = Column(
    "basis",
    "Basis",
    words=(Word("measured", "measured", Colour.GOOD), Word("estimate", "estimate", Colour.MUTED)),
)
ENERGY = Column("energy_wh", "Energy", Unit.ENERGY_WH, decimals=1)
MONEY = Column("money", "Money", decimals=2)

BENEFIT_NOW = Panel(
    key="benefit_now",
    title="What it brought",
    description=(
        "Sums of the ledger: energy that isn't lost any more or is billed after all, money, customer-hours without "
        "supply avoided, CO₂. Where no effect can be shown nothing is counted."
    ),
    picture=Picture.FIGURES,
    sql="""
select
  coalesce(sum(energy_wh), 0)::float8 as energy_wh,
  (coalesce(sum(money_cents) filter (where basis = 'measured'), 0) / 100.0)::float8 as money,
  (coalesce(sum(money_cents) filter (where basis = 'estimate'), 0) / 100.0)::float8 as estimate,
  (coalesce(sum(outage_customer_s), 0) / 3600.0)::float8 as customer_hours,
  (coalesce(sum(co2_g), 0) / 1000.0)::float8 as co2_kg,
  count(*) filter (where not shown) as not_shown
from benefit.figure
""",
    columns=(
        ENERGY,
        Column("money", "Money, measured", decimals=2),
        Column("estimate", "Money, estimated", decimals=2),
        Column("customer_hours", "Customer-hours", decimals=1),
        Column("co2_kg", "CO₂, kg", decimals=1),
        Column("not_shown", "No effect shown", Unit.COUNT),
    ),
)

BENEFIT_ITEMS = Panel(
    key="benefit_items",
    title="By organisation and item",
    description="What each organisation's units brought; an estimate rests on assumptions that were approved.",
    picture=Picture.TABLE,
    sql="""
select
  coalesce(organisation, '') as organisation, item, basis, count(*) as entries, sum(energy_wh)::float8 as energy_wh,
  (sum(money_cents) / 100.0)::float8 as money, extract(epoch from now() - max(done_at))::float8 as age_s
from benefit.figure
group by 1, item, basis
order by money desc, organisation, item, basis
limit 100
""",
    nothing="Nothing is entered",
    columns=(
        Column("organisation", "Organisation"),
        ITEM,
        BASIS,
        Column("entries", "Entries", Unit.COUNT),
        ENERGY,
        MONEY,
        AGE,
    ),
)

BENEFIT_ENTRIES = Panel(
    key="benefit_entries",
    title="Newest entries",
    description=(
        "What was done, and what the interval of 95 % says of it; beside it the simple comparison of before and after, "
        "which takes season and weather for an effect. `meterline benefit explain` opens each."
    ),
    picture=Picture.TABLE,
    sql="""
select
  source || ' ' || source_id as source, item, unit, energy_wh::float8 as energy_wh, low_wh::float8 as low_wh,
  high_wh::float8 as high_wh, before_after_wh::float8 as before_after_wh, (money_cents / 100.0)::float8 as money, basis,
  extract(epoch from now() - done_at)::float8 as age_s
from benefit.figure
order by done_at desc, source, source_id, item
limit 100
""",
    nothing="Nothing is entered",
    columns=(
        Column("source", "Source"),
        ITEM,
        Column("unit", "Unit"),
        ENERGY,
        Column("low_wh", "Low", Unit.ENERGY_WH, decimals=1),
        Column("high_wh", "High", Unit.ENERGY_WH, decimals=1),
        Column("before_after_wh", "Before and after", Unit.ENERGY_WH, decimals=1),
        MONEY,
        BASIS,
        AGE,
    ),
)
