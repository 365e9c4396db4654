"""Panels of what the source systems' records say of each other: conflicts, and the share of relations that agree."""

# ruff: noqa: S608 - the statements are put together from the constants of this folder, never from input

from __future__ import annotations

from deploy.boards.model import Colour, Column, Panel, Picture, Step, Unit, Word
from deploy.boards.panels.parts import HERE, has_feeder_here, is_here

_GOOD_RATE = (Step(0.98, Colour.WARNING), Step(0.99, Colour.GOOD))

CONFLICTS = Panel(
    key="conflicts",
    title="Open conflicts by kind, department and system",
    description=(
        "What the records of a system say otherwise than what is believed, by the department that is to settle it, "
        "the most first. `meterline sync conflicts list` has each."
    ),
    picture=Picture.TABLE,
    sql="""
select
  kind,
  department,
  system,
  count(*) as open,
  count(*) filter (where opened_at > now() - interval '1 day') as added,
  extract(epoch from now() - min(opened_at))::float8 as age_s
from sync.conflict
where closed_at is null
group by kind, department, system
order by open desc, kind, department, system
limit 100
""",
    columns=(
        Column(
            "kind",
            "Kind",
            words=(
                Word("missing", "missing", Colour.PLAIN),
                Word("orphan", "orphan", Colour.PLAIN),
                Word("duplicate", "duplicate", Colour.PLAIN),
                Word("field_differs", "field differs", Colour.PLAIN),
                Word("relation_differs", "relation differs", Colour.PLAIN),
                Word("outdated", "outdated", Colour.PLAIN),
                Word("impossible", "impossible", Colour.PLAIN),
            ),
        ),
        Column("department", "Department"),
        Column("system", "System"),
        Column("open", "Open", Unit.COUNT, below=Colour.PLAIN, steps=(Step(1, Colour.WARNING),)),
        Column("added", "Since a day", Unit.COUNT),
        Column("age_s", "Oldest", Unit.SECONDS, decimals=0),
    ),
    nothing="No conflict is open",
)

CONFLICT_AGE = Panel(
    key="conflict_age",
    title="Open conflicts by age",
    description="How long conflicts have been open, in days, by kind of thing that they are about.",
    picture=Picture.BARS,
    stacked=True,
    sql="""
select
  (array['0-1', '1-7', '7-30', '30+'])[1 + n] as days,
  count(*) filter (where entity_kind = 'meter') as meters,
  count(*) filter (where entity_kind = 'account') as accounts,
  count(*) filter (where entity_kind not in ('meter', 'account')) as others
from (
  select entity_kind, width_bucket(extract(epoch from now() - opened_at) / 86400, array[1, 7, 30]::numeric[]) as n
  from sync.conflict
  where closed_at is null
) c
group by n
order by n
""",
    columns=(
        Column("days", "Days"),
        Column("meters", "Meters", Unit.COUNT),
        Column("accounts", "Accounts", Unit.COUNT),
        Column("others", "Others", Unit.COUNT),
    ),
    nothing="No conflict is open",
)

RESOLVED = Panel(
    key="resolved_conflicts",
    title="Time to resolve conflicts",
    description=(
        "Conflicts that were closed in the last day, 7 and 30 days, by department, and for how long those of the last "
        "30 days had been open. `meterline sync indicators` tells ended days, weeks and months."
    ),
    picture=Picture.TABLE,
    sql="""
select
  c.department,
  count(*) filter (where r.closed_at > now() - interval '1 day') as day,
  count(*) filter (where r.closed_at > now() - interval '7 days') as week,
  count(*) as month,
  avg(extract(epoch from r.closed_at - r.opened_at))::float8 as mean_s,
  percentile_cont(0.5) within group (order by extract(epoch from r.closed_at - r.opened_at))::float8 as median_s,
  extract(epoch from now() - max(r.closed_at))::float8 as age_s
from rollout.conflicts_resolved(now() - interval '30 days', now()) r
join sync.conflict c using (conflict_id)
group by c.department
order by month desc, c.department
limit 100
""",
    columns=(
        Column("department", "Department"),
        Column("day", "In a day", Unit.COUNT),
        Column("week", "In 7 days", Unit.COUNT),
        Column("month", "In 30 days", Unit.COUNT),
        Column("mean_s", "Open on average", Unit.SECONDS, decimals=0),
        Column("median_s", "Half of them within", Unit.SECONDS, decimals=0),
        Column("age_s", "Last", Unit.SECONDS, decimals=0, width_px=80),
    ),
    nothing="No conflict was closed in 30 days",
)

COMPLETENESS = Panel(
    key="completeness",
    title="Completeness of the records",
    description=(
        "Records that each system has, of those and the ones that it lacks though others know them, when they were "
        "last compared, and a week and a month before."
    ),
    picture=Picture.TABLE,
    sql="""
with last as (
  select max(day) as day from sync.completeness where day > current_date - 400
), found as (
  select c.system, c.kind, l.day - c.day as before, c.records, c.missing,
    c.records / nullif(c.records + c.missing, 0)::float8 as rate
  from last l
  join sync.completeness c on c.day in (l.day, l.day - 7, l.day - 30)
)
select
  system,
  kind,
  max(rate) filter (where before = 0) as rate,
  max(rate) filter (where before = 7) as week_rate,
  max(rate) filter (where before = 30) as month_rate,
  max(missing) filter (where before = 0) as missing,
  extract(epoch from now() - (select day from last)::timestamp at time zone '$__timezone')::float8 as age_s
from found
group by system, kind
order by missing desc nulls last, system, kind
limit 100
""",
    columns=(
        Column("system", "System"),
        Column("kind", "Kind"),
        Column("rate", "Complete", Unit.FRACTION, decimals=2, below=Colour.BAD, steps=_GOOD_RATE),
        Column("week_rate", "A week before", Unit.FRACTION, decimals=2),
        Column("month_rate", "A month before", Unit.FRACTION, decimals=2),
        Column("missing", "Lacking", Unit.COUNT),
        Column("age_s", "Age", Unit.SECONDS, decimals=0, width_px=80),
    ),
    nothing="Nothing was compared yet: meterline sync match",
)

RELATIONS = Panel(
    key="relations",
    title="Consistency station-line-transformer-customer (站-线-变-户)",
    description=(
        "Share of the relations that no record contradicts, when it was last found, and a week and a month before."
    ),
    picture=Picture.TABLE,
    sql=f"""
with {HERE}, last as (
  select max(day) as day from sync.consistency where day > current_date - 400
), found as (
  select k.relation, l.day - k.day as before, sum(k.relations) as relations, sum(k.consistent) as consistent
  from last l
  join sync.consistency k on k.day in (l.day, l.day - 7, l.day - 30)
  join grid.unit u using (unit_id)
  where {is_here()} or {has_feeder_here()}
  group by k.relation, before
)
select
  relation,
  max(consistent / nullif(relations, 0)::float8) filter (where before = 0) as rate,
  max(consistent / nullif(relations, 0)::float8) filter (where before = 7) as week_rate,
  max(consistent / nullif(relations, 0)::float8) filter (where before = 30) as month_rate,
  (max(relations - consistent) filter (where before = 0))::float8 as contradicted,
  extract(epoch from now() - (select day from last)::timestamp at time zone '$__timezone')::float8 as age_s
from found
group by relation
order by array_position(array['station_line', 'line_transformer', 'transformer_customer'], relation)
""",
    columns=(
        Column(
            "relation",
            "Relation",
            words=(
                Word("station_line", "station-line", Colour.PLAIN),
                Word("line_transformer", "line-transformer", Colour.PLAIN),
                Word("transformer_customer", "transformer-customer", Colour.PLAIN),
            ),
        ),
        Column("rate", "Consistent", Unit.FRACTION, decimals=2, below=Colour.BAD, steps=_GOOD_RATE),
        Column("week_rate", "A week before", Unit.FRACTION, decimals=2),
        Column("month_rate", "A month before", Unit.FRACTION, decimals=2),
        Column("contradicted", "Contradicted", Unit.COUNT),
        Column("age_s", "Age", Unit.SECONDS, decimals=0, width_px=80),
    ),
    nothing="Consistency was not found yet: meterline sync rate",
)

DRIFT = Panel(
    key="drift",
    title="Copies in other systems (drift clock)",
    description=(
        "How many entities of the grid model each target holds and how many of them otherwise than the model, since "
        "when the oldest disagreement is known, and for how long entities disagreed in the last day, all together. "
        "`meterline sync drift` has each."
    ),
    picture=Picture.TABLE,
    sql="""
with size as (
  select target, sum(entities)::bigint as entities, max(checked_at) as checked_at
  from sync.target_size
  group by target
)
select
  s.target,
  s.entities,
  n.drifted,
  extract(epoch from now() - n.since)::float8 as oldest_s,
  (n.present_s + p.past_s)::float8 as day_s,
  extract(epoch from now() - s.checked_at)::float8 as age_s
from size s
cross join lateral (
  select
    count(*) as drifted,
    min(t.since) as since,
    coalesce(sum(extract(epoch from now() - greatest(t.since, now() - interval '1 day'))), 0) as present_s
  from sync.target_state t
  where t.target = s.target and t.since is not null
) n
cross join lateral (
  select coalesce(sum(extract(epoch from d.until - greatest(d.since, now() - interval '1 day'))), 0) as past_s
  from sync.drift d
  where d.target = s.target and d.until > now() - interval '1 day'
) p
order by n.drifted desc, s.target
limit 100
""",
    columns=(
        Column("target", "Target"),
        Column("entities", "Entities", Unit.COUNT),
        Column("drifted", "Drifted", Unit.COUNT, below=Colour.GOOD, steps=(Step(1, Colour.WARNING),)),
        Column("oldest_s", "Oldest", Unit.SECONDS, decimals=0),
        Column("day_s", "In the last day", Unit.SECONDS, decimals=0),
        Column("age_s", "Read", Unit.SECONDS, decimals=0),
    ),
    nothing="No target holds a copy",
)
