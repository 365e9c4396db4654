"""Every panel, each defined once.

A statement reads grid.* and bounded ranges of loss.balance and telemetry.block, unit by unit through the primary key
(a lateral subquery) where a range of all units would be long. It names only what the role meterline_board may read.
"""

# ruff: noqa: S608 - the statements are put together from the constants of this file, never from input

from __future__ import annotations

from deploy.boards.model import Colour, Column, Panel, Picture, Step, Unit, Word

#: A feeder or an area is called high above this loss rate, once its whole band lies above. Utilities differ: the
#: figure is a common limit for areas and 10 kV lines, and gives way to thresholds from the database.
HIGH_LOSS_RATE = 0.10
#: How far back the newest value of a unit is looked for; a unit that was silent for longer counts as without data.
SEARCH = "interval '7 days'"
#: Half the width of a band in standard deviations: 95 % of a normal distribution.
BAND = "1.96"


def _status(table: str) -> str:
    """A value is stale when older than three of its intervals or five minutes, whichever is more."""
    limit = f"greatest(3 * {table}.interval_s * interval '1 second', interval '5 minutes')"
    return f"""case
    when {table}.observed_at is null then 'silent'
    when now() - {table}.observed_at > {limit} then 'stale'
    else 'live'
  end"""


def _age(table: str) -> str:
    return f"extract(epoch from now() - {table}.observed_at)::float8"


def _newest(table: str, columns: str, condition: str = "true") -> str:
    """The newest row of unit `u`, by the primary key."""
    return f"""(
  select {columns}
  from {table}
  where unit_id = u.unit_id and observed_at > now() - {SEARCH} and {condition}
  order by observed_at desc
  limit 1
)"""


_BALANCE = _newest(
    "loss.balance",
    "observed_at, interval_s, inflow_wh, loss_wh, members_loss_wh, sigma_wh, coverage, computable, recorded_at",
    # A row that still gathers its members would flicker: for the length of an interval the one before it stands.
    "(computable or observed_at <= now() - interval_s * interval '1 second')",
)
_BLOCK = _newest("telemetry.block", "observed_at, interval_s")
# Centres of buckets would fall between two instants: a point stands at the end of its bucket, as an interval does.
_BUCKET = (
    "date_bin('$__interval', observed_at - interval '1 microsecond', timestamptz 'epoch') + interval '$__interval'"
)

STATUS = Column(
    "status",
    "Status",
    words=(
        Word("live", "live", Colour.GOOD),
        Word("stale", "stale", Colour.BAD),
        Word("silent", "no data", Colour.MUTED),
    ),
    width_px=80,
)
AGE = Column("age_s", "Age", Unit.SECONDS, decimals=0, width_px=80)
CLASS = Column(
    "class",
    "Class",
    words=(
        Word("normal", "normal", Colour.GOOD),
        Word("high", "high", Colour.BAD),
        Word("negative", "negative", Colour.WARNING),
        Word("not_computable", "not computable", Colour.MUTED),
    ),
    width_px=110,
)


def _class(loss: str, sigma: str, inflow: str, computable: str) -> str:
    return f"""case
    when not ({computable}) then 'not_computable'
    when {loss} - {BAND} * {sigma} > {HIGH_LOSS_RATE} * {inflow} then 'high'
    when {loss} + {BAND} * {sigma} < 0 then 'negative'
    else 'normal'
  end"""


NOW = Panel(
    key="now",
    title="Supply and loss now",
    description="The newest interval of every feeder whose value is live; a feeder that went stale is left out.",
    picture=Picture.FIGURES,
    sql=f"""
with feeder as (
  select b.*, {_status("b")} as status
  from grid.unit u
  left join lateral {_BALANCE} b on true
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
left join lateral {_BALANCE} b on true
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
  select {_status("b")} as status
  from grid.unit u
  left join lateral {_BLOCK} b on true
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

ALERTS_BY_STATE = Panel(
    key="alerts_by_state",
    title="Alerts",
    description="Alerts that are not resolved, closed or suppressed, and how many of them nobody has taken up.",
    picture=Picture.FIGURES,
    sql="""
select
  count(*) filter (where state <> 'suppressed') as open,
  count(*) filter (where state = 'open') as untouched
from alerts.alert
where state not in ('resolved', 'closed')
""",
    columns=(
        Column("open", "Open", Unit.COUNT, below=Colour.GOOD, steps=(Step(1, Colour.WARNING),)),
        Column("untouched", "Not acknowledged", Unit.COUNT, below=Colour.GOOD, steps=(Step(1, Colour.BAD),)),
    ),
)

FEEDERS = Panel(
    key="feeders",
    title="Loss now by feeder",
    description=(
        "The newest interval of each feeder. Loss is the line's own; with its areas beside it. The band holds the true "
        "rate with 95 % confidence, and a class is given only where the whole band lies beyond the limit."
    ),
    picture=Picture.TABLE,
    sql=f"""
select
  u.name as feeder,
  {_status("b")} as status,
  {_age("b")} as age_s,
  b.interval_s,
  b.inflow_wh as supply_wh,
  b.loss_wh,
  case when b.computable then b.loss_wh::float8 / nullif(b.inflow_wh, 0) end as loss_rate,
  case when b.computable then {BAND} * b.sigma_wh / nullif(b.inflow_wh, 0) end as band,
  case when b.computable then (b.loss_wh + b.members_loss_wh)::float8 / nullif(b.inflow_wh, 0) end as total_rate,
  {_class("b.loss_wh", "b.sigma_wh", "b.inflow_wh", "b.computable")} as class,
  b.coverage::float8 as coverage
from grid.unit u
left join lateral {_BALANCE} b on true
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
  {_status("n")} as status,
  {_age("n")} as age_s,
  d.supply_wh,
  d.loss_wh,
  d.loss_wh / d.supply_wh as loss_rate,
  {BAND} * d.sigma_wh / d.supply_wh as band,
  {_class("d.loss_wh", "d.sigma_wh", "d.supply_wh", "true")} as class,
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
  where observed_at > now() - interval '24 hours' and computable
  group by unit_id
) d
join grid.unit u using (unit_id)
left join lateral {_BALANCE} n on true
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
  select u.unit_id, coalesce(s.name, 'no substation') as substation, n.observed_at, {_status("n")} as status
  from grid.unit u
  left join grid.substation s on s.code = u.substation
  cross join lateral {_BALANCE} n
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
  select {_BUCKET} as time, sum(inflow_wh) * 3600.0 / sum(interval_s) as power_w
  from loss.balance
  where unit_id = f.unit_id
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
    {_BUCKET} as time,
    sum(inflow_wh)::float8 as inflow_wh,
    sum(loss_wh)::float8 as loss_wh,
    sum(loss_wh + members_loss_wh)::float8 as total_wh,
    sum(sigma_wh) as sigma_wh
  from loss.balance
  where unit_id = u.unit_id and $__timeFilter(observed_at) and computable
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

OPEN_ALERTS = Panel(
    key="open_alerts",
    title="Open alerts",
    description="What has been raised and not been resolved, the newest first.",
    picture=Picture.TABLE,
    sql="""
select
  a.severity,
  u.name as unit,
  a.kind,
  a.state,
  extract(epoch from now() - a.opened_at)::float8 as open_s,
  extract(epoch from now() - a.updated_at)::float8 as age_s
from alerts.alert a
join grid.unit u using (unit_id)
where a.state not in ('resolved', 'closed') and a.state <> 'suppressed'
order by a.opened_at desc, a.alert_id desc
limit 50
""",
    columns=(
        Column(
            "severity",
            "Severity",
            words=(
                Word("critical", "critical", Colour.BAD),
                Word("warning", "warning", Colour.WARNING),
                Word("info", "info", Colour.PLAIN),
            ),
            width_px=90,
        ),
        Column("unit", "Unit"),
        Column("kind", "Kind"),
        Column(
            "state",
            "State",
            words=(
                Word("open", "open", Colour.BAD),
                Word("acknowledged", "acknowledged", Colour.WARNING),
                Word("in_progress", "in progress", Colour.WARNING),
            ),
        ),
        Column("open_s", "Open for", Unit.SECONDS, decimals=0, width_px=90),
        Column("age_s", "Changed", Unit.SECONDS, decimals=0, width_px=90),
    ),
    nothing="No open alert",
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
  select b.unit_id, {_BUCKET} as time, sum(b.coverage) * 60.0 / sum(b.interval_s) as per_meter
  from loss.balance b
  where $__timeFilter(b.observed_at) and b.observed_at <= now() - interval '30 seconds'
  group by 1, 2
)
select r.time, sum(r.per_meter * m.meters)::float8 as readings
from unit_rate r
join roster m using (unit_id)
join grid.unit u using (unit_id)
where u.kind <> 'feeder'
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
  {_BUCKET} as time,
  percentile_cont(0.5) within group (order by extract(epoch from b.recorded_at - b.received_at)::float8) as p50,
  percentile_cont(0.99) within group (order by extract(epoch from b.recorded_at - b.received_at)::float8) as p99
from loss.balance b
join grid.unit u using (unit_id)
where $__timeFilter(b.observed_at) and u.kind <> 'feeder'
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
  {_status("b")} as status,
  {_age("b")} as age_s,
  {_age("r")} as result_age_s,
  b.interval_s,
  u.gateway
from grid.unit u
left join lateral {_BLOCK} b on true
left join lateral {_BALANCE} r on true
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
