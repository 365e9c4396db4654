"""Panels of what arrives, how fast, and what stays away."""

# ruff: noqa: S608 - the statements are put together from the constants of this folder, never from input

from __future__ import annotations

from deploy.boards.model import Colour, Column, Panel, Picture, Step, Unit
from deploy.boards.panels.parts import BUCKET, HERE, STATUS, WITHIN_DAY, age_of, fresh, is_of_here, status_of

SETTLED = Panel(
    key="settled",
    title="Areas settled, last 15 minutes",
    description="Areas of which an interval was settled within the last 15 minutes, of all that are known.",
    picture=Picture.FIGURES,
    sql=f"""
with {fresh()}
select
  count(*) filter (where recorded_at > now() - interval '15 minutes') as settled,
  count(*) as known
from fresh
where kind in ('area', 'dedicated')
""",
    columns=(
        Column("settled", "Settled", Unit.COUNT, below=Colour.BAD, steps=(Step(1, Colour.GOOD),)),
        Column("known", "Known", Unit.COUNT),
    ),
)


UNITS_BY_STATUS = Panel(
    key="units_by_status",
    title="Units by freshness",
    description="Units by the age of their newest result: stale after 3 intervals or 5 minutes, whichever is more.",
    picture=Picture.FIGURES,
    sql=f"""
with {HERE}, {fresh(is_of_here())}, unit as (
  select {status_of("b")} as status
  from fresh b
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
    description="Meters read, by the minute that the readings describe: the meters of each unit times its coverage.",
    picture=Picture.LINES,
    unit=Unit.PER_MINUTE,
    span="1h",
    sql=f"""
select
  {BUCKET.replace("observed_at", "b.observed_at")} as time,
  sum(b.meters * 60 / greatest(b.interval_s, extract(epoch from interval '$__interval')))::float8 as readings
from (
  select b.observed_at, b.interval_s, sum(b.coverage * m.meters) as meters
  from loss.balance b
  join grid.unit_size m using (unit_id)
  where $__timeFilter(b.observed_at) and b.observed_at <= now() - interval '30 seconds' and b.{WITHIN_DAY}
  group by b.observed_at, b.interval_s
) b
group by 1
order by 1
""",
    columns=(Column("readings", "Readings a minute"),),
)


DELAY = Panel(
    key="delay",
    title="Delay from receipt to result",
    description=(
        "Time from the receipt of an area's message to its settled row, by the minute that it describes; of about "
        "1,000 areas evenly chosen where there are more."
    ),
    picture=Picture.LINES,
    unit=Unit.SECONDS,
    below=Colour.GOOD,
    steps=(Step(5, Colour.BAD),),
    span="1h",
    sql=f"""
select time, delays[1] as p50, delays[2] as p99
from (
  select
    {BUCKET.replace("observed_at", "b.observed_at")} as time,
    percentile_cont(array[0.5, 0.99]) within group (order by extract(epoch from b.recorded_at - b.received_at)::float8)
      as delays
  from grid.unit u
  cross join lateral (
    select observed_at, recorded_at, received_at
    from loss.balance
    where unit_id = u.unit_id and $__timeFilter(observed_at) and coverage = 1
  ) b
  where u.kind in ('area', 'dedicated')
    and mod(u.unit_id, greatest(1, (select count(*) / 1000 from grid.unit))) = 0
  group by 1
) d
order by time
""",
    columns=(Column("p50", "Half of them"), Column("p99", "99 %")),
)


def _freshness(key: str, tables: str) -> Panel:
    return Panel(
        key=key,
        title="Freshness",
        description=(
            "Units by the age of their newest result, the oldest first: stale when older than 3 intervals or 5 minutes."
        ),
        picture=Picture.TABLE,
        sql=f"""
with {tables}
select
  b.name as unit,
  b.kind,
  {status_of("b")} as status,
  {age_of("b")} as age_s,
  extract(epoch from now() - b.recorded_at)::float8 as result_age_s,
  b.interval_s,
  b.gateway
from fresh b
order by b.observed_at nulls first, unit
limit 50
""",
        columns=(
            Column("unit", "Unit"),
            Column("kind", "Kind", width_px=80),
            STATUS,
            Column("age_s", "Age", Unit.SECONDS, decimals=0, width_px=90),
            Column("result_age_s", "Written", Unit.SECONDS, decimals=0, width_px=90),
            Column("interval_s", "Interval", Unit.SECONDS, width_px=80),
            Column("gateway", "Gateway"),
        ),
        nothing="No unit is known",
    )


FRESHNESS = _freshness("freshness", fresh())
#: Of the chosen place.
FRESHNESS_HERE = _freshness("freshness_here", f"{HERE}, {fresh(is_of_here())}")


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


STALL = Panel(
    key="stall",
    title="Commits and deliveries",
    description=(
        "Age of the newest result, of the oldest change of the grid model that the relay has not sent, and of the "
        "oldest delivery that is due; how much of all input of the last hour was refused, and how many records Kafka "
        "removed for their age within a day before anyone took them: those are lost."
    ),
    picture=Picture.FIGURES,
    sql="""
select
  extract(epoch from now() - (
    select max(recorded_at) from loss.balance
    where recorded_at > now() - interval '7 days' and observed_at > now() - interval '8 days'
  ))::float8 as commit_age_s,
  coalesce(extract(epoch from now() - (
    select min(o.recorded_at) from grid.outbox o
    where o.id > coalesce((select min(outbox_id) from sync.relay where topic = 'grid.change'), 0)
  )), 0)::float8 as relay_age_s,
  coalesce(extract(epoch from now() - least(
    (select min(due_at) from alerts.delivery where delivered_at is null and due_at < now()),
    (select min(due_at) from sync.delivery where delivered_at is null and due_at < now())
  )), 0)::float8 as delivery_age_s,
  (
    select coalesce(sum(rejected), 0)::float8 from telemetry.worker_state where at > now() - interval '1 hour'
  ) as rejected,
  (
    select coalesce(sum(dropped), 0)::float8 from telemetry.worker_state
    where dropped > 0 and at > now() - interval '1 day'
  ) as dropped
""",
    columns=(
        Column(
            "commit_age_s",
            "Last commit",
            Unit.SECONDS,
            decimals=0,
            below=Colour.GOOD,
            steps=(Step(120, Colour.WARNING), Step(1800, Colour.BAD)),
        ),
        Column(
            "relay_age_s",
            "Change not sent for",
            Unit.SECONDS,
            decimals=0,
            below=Colour.GOOD,
            steps=(Step(30, Colour.WARNING), Step(300, Colour.BAD)),
        ),
        Column(
            "delivery_age_s",
            "Delivery owed for",
            Unit.SECONDS,
            decimals=0,
            below=Colour.GOOD,
            steps=(Step(60, Colour.WARNING), Step(600, Colour.BAD)),
        ),
        Column("rejected", "Refused, last hour", Unit.COUNT, below=Colour.GOOD, steps=(Step(1, Colour.WARNING),)),
        Column("dropped", "Dropped, last day", Unit.COUNT, below=Colour.GOOD, steps=(Step(1, Colour.BAD),)),
    ),
)

DISK = Panel(
    key="disk",
    title="Disk by table",
    description="What the large tables take with their indexes, and about how many rows they have.",
    picture=Picture.TABLE,
    sql="""
with big as (
  select c.oid, n.nspname || '.' || c.relname as name
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p') and n.nspname in ('grid', 'telemetry', 'loss', 'alerts', 'sync')
), part as (
  select oid, name from big
  union all
  select i.inhrelid, b.name from big b join pg_inherits i on i.inhparent = b.oid
)
select
  p.name,
  sum(pg_total_relation_size(p.oid))::float8 as bytes,
  sum(greatest(c.reltuples, 0))::float8 as rows,
  extract(epoch from now() - max(greatest(s.last_analyze, s.last_autoanalyze)))::float8 as age_s
from part p
join pg_class c on c.oid = p.oid
left join pg_stat_all_tables s on s.relid = p.oid
group by p.name
order by bytes desc
limit 20
""",
    columns=(
        Column("name", "Table"),
        Column("bytes", "Size", Unit.BYTES, decimals=1),
        Column("rows", "Rows, about", Unit.COUNT),
        Column("age_s", "Statistics", Unit.SECONDS, decimals=0),
    ),
)
