"""Panels of how complete, fresh and consistent data and records are."""

# ruff: noqa: S608 - the statements are put together from the constants of this folder, never from input

from __future__ import annotations

from deploy.boards.model import Colour, Column, Panel, Picture, Step, Unit
from deploy.boards.panels.parts import (
    AGE,
    BUCKET,
    FEEDER_OF,
    HERE,
    LAST_DAY,
    SERIES,
    SUPPLIES,
    has_feeder_here,
    is_here,
    to_area,
)

_GOOD_SHARE = (Step(0.98, Colour.WARNING), Step(0.995, Colour.GOOD))

QUALITY_NOW = Panel(
    key="quality_now",
    title="Last full day",
    description=(
        "Collection success (采集成功率) is the share of areas' hours of which everything came; estimated is the "
        "share of their energy that was; computable the share of areas that have a class."
    ),
    picture=Picture.FIGURES,
    sql=f"""
with {HERE}
select
  (sum(p.covered_s * (1 - coalesce(p.estimated_share, 0))) / nullif(sum(p.expected_s), 0))::float8 as collected,
  (sum(p.estimated_wh) / nullif(sum(p.inflow_wh + p.outflow_wh), 0))::float8 as estimated,
  count(*) filter (where p.class <> 'not_computable') / nullif(count(*), 0)::float8 as computable,
  count(*) filter (where p.status = 'restated') as restated
from grid.unit u
join loss.period p on p.unit_id = u.unit_id and p.period = 'day' and p.revision > 0 and p.first_day = {LAST_DAY}
where u.kind in ('area', 'dedicated') and {has_feeder_here()}
""",
    columns=(
        Column("collected", "Collection success", Unit.FRACTION, decimals=2, below=Colour.BAD, steps=_GOOD_SHARE),
        Column(
            "estimated",
            "Estimated",
            Unit.FRACTION,
            decimals=2,
            below=Colour.GOOD,
            steps=(Step(0.01, Colour.WARNING), Step(0.05, Colour.BAD)),
        ),
        Column("computable", "Computable", Unit.FRACTION, decimals=2, below=Colour.BAD, steps=_GOOD_SHARE),
        Column("restated", "Restated", Unit.COUNT),
    ),
)

CONSISTENCY = Panel(
    key="consistency",
    title="Consistency of the records",
    description=(
        "Share of what the grid model should say that it says: areas on a feeder (变-线), with a transformer's "
        "rating, with a position, with customers' meters (户-变); feeders with a substation "
        "(线-站) and a place in the network."
    ),
    picture=Picture.GAUGES,
    sql=f"""
with {HERE}, area as (
  select
    count(*) as all_areas,
    count(*) filter (where u.unit_id in (
      select m.child_id from grid.member m where m.child_id is not null and m.parent_kind = 3 and {SUPPLIES}
    )) as on_feeder,
    count(*) filter (where u.rating_va > 0) as rated,
    count(*) filter (where u.longitude_deg is not null and u.latitude_deg is not null) as placed,
    count(*) filter (where u.unit_id in (select s.unit_id from grid.unit_size s where s.meters > 1)) as metered
  from grid.unit u
  where u.kind = 'area' and {has_feeder_here()}
), feeder as (
  select
    count(*) as all_feeders,
    count(*) filter (where u.substation is not null) as of_substation,
    count(*) filter (where exists (
      select from grid.connection c where c.unit_id = u.unit_id and upper_inf(c.recorded) and c.valid @> now()
    )) as connected
  from grid.unit u
  where u.kind = 'feeder' and {is_here()}
)
select what, share
from area, feeder, lateral (
  values
    ('areas on a feeder', on_feeder / nullif(all_areas, 0)::float8),
    ('areas with meters', metered / nullif(all_areas, 0)::float8),
    ('areas with a rating', rated / nullif(all_areas, 0)::float8),
    ('areas with a position', placed / nullif(all_areas, 0)::float8),
    ('feeders of a substation', of_substation / nullif(all_feeders, 0)::float8),
    ('feeders in the network', connected / nullif(all_feeders, 0)::float8)
) v (what, share)
where share is not null
""",
    columns=(
        Column("what", "What"),
        Column("share", "Share", Unit.FRACTION, decimals=1, below=Colour.BAD, steps=_GOOD_SHARE, most=1),
    ),
)

COVERAGE_TIME = Panel(
    key="coverage_time",
    title="Coverage by busbar",
    description="Of each busbar: the mean coverage of its intervals. A line that falls is data that doesn't come.",
    picture=Picture.LINES,
    unit=Unit.FRACTION,
    sql=f"""
with {HERE}, part as (
  select u.unit_id, u.name
  from grid.unit u
  where u.kind = 'element' and {is_here()}
  order by u.name
  limit 50
)
select {BUCKET.replace("observed_at", "b.observed_at")} as time, u.name as metric, avg(b.coverage) as coverage
from part u
cross join lateral {SERIES} b
group by 1, 2
order by 1, 2
""",
)

REASONS = Panel(
    key="reasons",
    title="Why areas are not computable or doubtful, last full day",
    description="Areas by the reasons that their last published local day bears.",
    picture=Picture.BARS,
    sql=f"""
with {HERE}
select r.name as reason, count(*) as areas
from grid.unit u
join loss.period p on p.unit_id = u.unit_id and p.period = 'day' and p.revision > 0 and p.first_day = {LAST_DAY}
join loss.reason r on r.bit & p.reasons <> 0
where u.kind = 'area' and p.reasons <> 0 and {has_feeder_here()}
group by r.name
order by areas desc, reason
limit 17
""",
    columns=(Column("reason", "Reason"), Column("areas", "Areas", Unit.COUNT)),
    nothing="No reason to doubt",
)

INCOMPLETE = Panel(
    key="incomplete",
    title="Least complete areas, last full day",
    description="Areas by the hours that are missing and the share that was estimated.",
    picture=Picture.TABLE,
    sql=f"""
with {HERE}, worst as (
  select
    u.unit_id, u.name, u.code, u.gateway, p.covered_s / p.expected_s::float8 as covered,
    p.estimated_share, p.to_at
  from grid.unit u
  join loss.period p on p.unit_id = u.unit_id and p.period = 'day' and p.revision > 0 and p.first_day = {LAST_DAY}
  where u.kind = 'area' and {has_feeder_here()}
  order by covered, p.estimated_share desc nulls last, u.name
  limit 50
)
select
  u.name as area, u.code, f.code as feeder_code, u.gateway, u.covered, u.estimated_share,
  extract(epoch from now() - u.to_at)::float8 as age_s
from worst u
left join lateral {FEEDER_OF} f on true
order by covered, estimated_share desc nulls last, area
""",
    columns=(
        Column("area", "Area", link=to_area()),
        Column("code", "Code", hidden=True),
        Column("feeder_code", "Feeder code", hidden=True),
        Column("gateway", "Gateway"),
        Column("covered", "Covered", Unit.FRACTION, decimals=1, below=Colour.BAD, steps=_GOOD_SHARE),
        Column(
            "estimated_share",
            "Estimated",
            Unit.FRACTION,
            decimals=1,
            below=Colour.PLAIN,
            steps=(Step(0.05, Colour.WARNING),),
        ),
        AGE,
    ),
    nothing="No day has been summed up yet",
)

MODEL_CHANGES = Panel(
    key="model_changes",
    title="Changes of the grid model",
    description="Changes that sync wrote, an hour each, in the range that is shown.",
    picture=Picture.LINES,
    unit=Unit.COUNT,
    sql="""
select
  date_trunc('hour', o.recorded_at) + interval '1 hour' as time,
  count(*)::float8 as changes
from grid.outbox o
where o.id > (select coalesce(max(id), 0) - 200000 from grid.outbox) and $__timeFilter(o.recorded_at)
group by 1
order by 1
""",
    columns=(Column("changes", "Changes"),),
)

DELIVERIES = Panel(
    key="deliveries",
    title="Deliveries to other systems",
    description=(
        "Deliveries that are owed to each target, how often the most stubborn was tried, and how old the oldest is."
    ),
    picture=Picture.TABLE,
    sql="""
select what, target, owed, attempts, age_s
from (
  select
    'alert' as what, target, count(*) as owed, max(attempts) as attempts,
    extract(epoch from now() - min(created_at))::float8 as age_s
  from alerts.delivery where delivered_at is null group by target
  union all
  select 'grid change', target, count(*), max(attempts), extract(epoch from now() - min(created_at))::float8
  from sync.delivery where delivered_at is null group by target
) d
order by age_s desc
limit 100
""",
    columns=(
        Column("what", "What"),
        Column("target", "Target"),
        Column("owed", "Owed", Unit.COUNT, below=Colour.PLAIN, steps=(Step(1, Colour.WARNING),)),
        Column("attempts", "Tried", Unit.COUNT),
        Column("age_s", "Oldest", Unit.SECONDS, decimals=0),
    ),
    nothing="Nothing is owed",
)

DOUBTS = Panel(
    key="doubts",
    title="Doubtful readings by rule and day",
    description=(
        "What the validation rules found doubtful on a local day, of the last 7 days. What was measured stands; "
        "`meterline validation list` has each."
    ),
    picture=Picture.TABLE,
    sql=f"""
with {HERE}
select
  to_char(d.day, 'YYYY-MM-DD') as day,
  d.rule,
  count(*) as units,
  sum(d.members)::float8 as meters,
  sum(d.doubts)::float8 as doubts,
  extract(epoch from now() - d.day::timestamp at time zone '$__timezone')::float8 as age_s
from telemetry.doubt_count d
join grid.unit u using (unit_id)
where d.day > current_date - 8 and ({is_here()} or {has_feeder_here()})
group by d.day, d.rule
order by d.day desc, doubts desc
limit 200
""",
    columns=(
        Column("day", "Day"),
        Column("rule", "Rule"),
        Column("units", "Areas", Unit.COUNT),
        Column("meters", "Meters", Unit.COUNT),
        Column("doubts", "Doubts", Unit.COUNT),
        Column("age_s", "Age", Unit.SECONDS, decimals=0, width_px=80),
    ),
    nothing="No reading is doubtful",
)
