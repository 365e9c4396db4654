"""Panels of the workers, as each tells of itself: how far it is behind in Kafka, and how long its writes take."""

# ruff: noqa: S608 - the statements are put together from the constants of this folder, never from input

from __future__ import annotations

from deploy.boards.model import Colour, Column, Panel, Picture, Step, Unit
from deploy.boards.panels.parts import BUCKET

_BUCKET = BUCKET.replace("observed_at", "at")

LAG = Panel(
    key="lag",
    title="Kafka lag by part of the workers",
    description=(
        "Records that are in Kafka and not acknowledged, of all workers together: the highest within each point. The "
        "part `readings` is of those who gather single readings. "
        "A line that rises for long is work that arrives faster than it is done."
    ),
    picture=Picture.LINES,
    unit=Unit.COUNT,
    span="1h",
    sql=f"""
select time, part as metric, sum(lag)::float8 as lag
from (
  select {_BUCKET} as time, part, worker, max(lag_records) as lag
  from telemetry.worker_state
  where $__timeFilter(at)
  group by 1, 2, 3
) w
where lag is not null
group by 1, 2
order by 1, 2
""",
    nothing="No worker has told of itself",
)

FLUSH = Panel(
    key="flush",
    title="Slowest flush by part of the workers",
    description=(
        "The longest time from taking a batch to its commit within each point, waits for the database included."
    ),
    picture=Picture.LINES,
    unit=Unit.SECONDS,
    below=Colour.GOOD,
    steps=(Step(5, Colour.BAD),),
    span="1h",
    sql=f"""
select {_BUCKET} as time, part as metric, max(slowest_flush_s) as flush
from telemetry.worker_state
where $__timeFilter(at) and slowest_flush_s is not null
group by 1, 2
order by 1, 2
""",
    nothing="No batch was written",
)

WORKERS = Panel(
    key="workers",
    title="Workers",
    description=(
        "Workers, and gatherers of single readings, that told of themselves within the last hour. Lag is what a worker "
        "has not acknowledged; a flush is from taking a batch to its commit. Who is silent for a minute has stopped, "
        "or can't reach the database."
    ),
    picture=Picture.TABLE,
    sql="""
select
  s.worker,
  extract(epoch from now() - s.at)::float8 as age_s,
  sum(s.lag_records)::float8 as lag,
  (sum(s.records) / max(s.over_s))::float8 as records_per_s,
  (sum(s.readings) / max(s.over_s))::float8 as readings_per_s,
  sum(s.flush_s * s.batches) / nullif(sum(s.batches), 0) as flush_s,
  max(s.slowest_flush_s) as slowest_flush_s
from (
  select worker, max(at) as at from telemetry.worker_state where at > now() - interval '1 hour' group by worker
) l
join telemetry.worker_state s using (worker, at)
group by s.worker, s.at
order by s.worker
limit 100
""",
    columns=(
        Column("worker", "Worker"),
        Column(
            "age_s",
            "Age",
            Unit.SECONDS,
            decimals=0,
            below=Colour.GOOD,
            steps=(Step(30, Colour.WARNING), Step(60, Colour.BAD)),
        ),
        Column("lag", "Lag", Unit.COUNT),
        Column("records_per_s", "Records a second", Unit.PER_SECOND, decimals=0),
        Column("readings_per_s", "Readings a second", Unit.PER_SECOND, decimals=0),
        Column("flush_s", "Flush", Unit.SECONDS, decimals=2),
        Column("slowest_flush_s", "Slowest flush", Unit.SECONDS, decimals=2),
    ),
    nothing="No worker has told of itself",
)
