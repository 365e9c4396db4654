"""Panels of what arrives, how fast, and what stays away."""

# ruff: noqa: S608 - the statements are put together from the constants of this folder, never from input

from __future__ import annotations

from deploy.boards.model import Colour, Column, Panel, Picture, Step, Unit
from deploy.boards.panels.parts import BALANCE, BLOCK, BUCKET, STATUS, WITHIN_DAY, age_of, status_of

SETTLED = Panel(
    key="settled",
    title="Areas settled, last 15 minutes",
    description="Areas whose newest interval was settled within the last 15 minutes, of all that are known.",
    picture=Picture.FIGURES,
    sql=f"""
select
  count(*) filter (where b.recorded_at > now() - interval '15 minutes') as settled,
  count(*) as known
from grid.unit u
left join lateral {BALANCE} b on true
where u.kind in ('area', 'dedicated')
""",
    columns=(
        Column("settled", "Settled", Unit.COUNT, below=Colour.BAD, steps=(Step(1, Colour.GOOD),)),
        Column("known", "Known", Unit.COUNT),
    ),
)


UNITS_BY_STATUS = Panel(
    key="units_by_status",
    title="Units by freshness",
    description="Units by the age of their newest block: stale after 3 intervals or 5 minutes, whichever is more.",
    picture=Picture.FIGURES,
    sql=f"""
with unit as (
  select {status_of("b")} as status
  from grid.unit u
  left join lateral {BLOCK} b on true
)
select
  count(*) filter (where status = 'live') as live,
  count(*) filter (where status = 'stale') as stale,
  count(*) filter (where status = 'silent') as silent
from unit
""",
    columns=(
        Column("live", "Live", Unit.COUNT, below=Colour.BAD, steps=(Step(1, Colour.GOOD),)),
        Column("stale", "Stale", Unit.COUNT, below=Colour.GOOD, steps=(Step(1, Colour.BAD),)),
        Column("silent", "No data", Unit.COUNT, below=Colour.GOOD, steps=(Step(1, Colour.WARNING),)),
    ),
)


READINGS = Panel(
    key="readings",
    title="Readings settled per minute",
    description="Meters read, by the minute that the readings describe: the roster of each unit times its coverage.",
    picture=Picture.LINES,
    unit=Unit.PER_MINUTE,
    span="1h",
    sql=f"""
with roster as (
  select unit_id, count(*) as meters
  from grid.member
  where meter is not null and upper_inf(recorded) and valid @> now()
  group by unit_id
), unit_rate as (
  select b.unit_id, {BUCKET} as time, sum(b.coverage) * 60.0 / sum(b.interval_s) as per_meter
  from loss.balance b
  where $__timeFilter(b.observed_at) and b.observed_at <= now() - interval '30 seconds' and b.{WITHIN_DAY}
  group by 1, 2
)
select r.time, sum(r.per_meter * m.meters)::float8 as readings
from unit_rate r
join roster m using (unit_id)
join grid.unit u using (unit_id)
where u.kind in ('area', 'dedicated')
group by 1
order by 1
""",
    columns=(Column("readings", "Readings a minute"),),
)


DELAY = Panel(
    key="delay",
    title="Delay from receipt to result",
    description="Time from the receipt of an area's message to its settled row, by the minute that it describes.",
    picture=Picture.LINES,
    unit=Unit.SECONDS,
    below=Colour.GOOD,
    steps=(Step(5, Colour.BAD),),
    span="1h",
    sql=f"""
select
  {BUCKET} as time,
  percentile_cont(0.5) within group (order by extract(epoch from b.recorded_at - b.received_at)::float8) as p50,
  percentile_cont(0.99) within group (order by extract(epoch from b.recorded_at - b.received_at)::float8) as p99
from loss.balance b
join grid.unit u using (unit_id)
where $__timeFilter(b.observed_at) and u.kind in ('area', 'dedicated') and b.coverage = 1
group by 1
order by 1
""",
    columns=(Column("p50", "Half of them"), Column("p99", "99 %")),
)


FRESHNESS = Panel(
    key="freshness",
    title="Freshness",
    description="Units by the age of their data, the oldest first: stale when older than 3 intervals or 5 minutes.",
    picture=Picture.TABLE,
    sql=f"""
select
  u.name as unit,
  u.kind,
  {status_of("b")} as status,
  {age_of("b")} as age_s,
  {age_of("r")} as result_age_s,
  b.interval_s,
  u.gateway
from grid.unit u
left join lateral {BLOCK} b on true
left join lateral {BALANCE} r on true
order by b.observed_at nulls first, unit
limit 50
""",
    columns=(
        Column("unit", "Unit"),
        Column("kind", "Kind", width_px=80),
        STATUS,
        Column("age_s", "Data age", Unit.SECONDS, decimals=0, width_px=90),
        Column("result_age_s", "Result age", Unit.SECONDS, decimals=0, width_px=90),
        Column("interval_s", "Interval", Unit.SECONDS, width_px=80),
        Column("gateway", "Gateway"),
    ),
    nothing="No unit is known",
)


GAPS = Panel(
    key="gaps",
    title="Gaps in what gateways send",
    description="Messages that gateways numbered and nobody saw, by gateway; they are asked for again (补采).",
    picture=Picture.TABLE,
    sql="""
select
  g.gateway,
  count(*) as gaps,
  sum(g.missing_messages)::float8 as missing,
  max(g.fruitless) as fruitless,
  count(*) filter (where g.numbering < s.numbering) as out_of_reach,
  extract(epoch from now() - min(g.noticed_at))::float8 as age_s
from telemetry.gap g
join telemetry.gateway_sequence s using (gateway)
where g.filled_at is null
group by g.gateway
order by missing desc, g.gateway
limit 50
""",
    columns=(
        Column("gateway", "Gateway"),
        Column("gaps", "Open gaps", Unit.COUNT, below=Colour.PLAIN, steps=(Step(1, Colour.WARNING),)),
        Column("missing", "Messages missing", Unit.COUNT),
        Column("fruitless", "Asked in vain", Unit.COUNT, below=Colour.PLAIN, steps=(Step(10, Colour.BAD),)),
        Column("out_of_reach", "Out of reach", Unit.COUNT, below=Colour.PLAIN, steps=(Step(1, Colour.WARNING),)),
        Column("age_s", "Oldest", Unit.SECONDS, decimals=0),
    ),
    nothing="No gap is open",
)


REJECTED = Panel(
    key="rejected",
    title="Rejected, by reason",
    description="Input that could not be taken and waits for a look, with what is quarantined to be tried again.",
    picture=Picture.TABLE,
    sql="""
select
  reason,
  count(*) as inputs,
  sum(seen)::float8 as seen,
  count(*) filter (where quarantined) as quarantined,
  sum(original_size)::float8 as original_bytes,
  extract(epoch from now() - max(first_at))::float8 as age_s
from telemetry.rejected
where replayed_at is null and $__timeFilter(first_at)
group by reason
order by seen desc, reason
""",
    columns=(
        Column("reason", "Reason"),
        Column("inputs", "Inputs", Unit.COUNT, below=Colour.PLAIN, steps=(Step(1, Colour.WARNING),)),
        Column("seen", "Times seen", Unit.COUNT),
        Column("quarantined", "In quarantine", Unit.COUNT),
        Column("original_bytes", "Size", Unit.BYTES),
        Column("age_s", "Newest", Unit.SECONDS, decimals=0),
    ),
    nothing="Nothing was rejected",
)
