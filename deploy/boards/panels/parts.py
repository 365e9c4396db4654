"""Pieces of SQL and columns that several panels share."""

# ruff: noqa: S608 - the statements are put together from the constants of this folder, never from input

from __future__ import annotations

from deploy.boards.model import Colour, Column, Link, Step, Unit, Word

#: How far back the newest value of a unit is looked for; a unit that was silent for longer counts as without data.
SEARCH = "interval '7 days'"
#: Half the width of a band in standard deviations: 95 % of a normal distribution.
BAND = "1.96"


def status_of(table: str) -> str:
    """A value is stale when older than three of its intervals or five minutes, whichever is more."""
    limit = f"greatest(3 * {table}.interval_s * interval '1 second', interval '5 minutes')"
    return f"""case
    when {table}.observed_at is null then 'silent'
    when now() - {table}.observed_at > {limit} then 'stale'
    else 'live'
  end"""


def age_of(table: str) -> str:
    return f"extract(epoch from now() - {table}.observed_at)::float8"


#: Days, from daily frozen registers, stand beside the shorter intervals and would count twice.
WITHIN_DAY = "interval_s <= 3600"


def newest_of(table: str, columns: str, condition: str = "true") -> str:
    """The newest row of unit `u`, by the primary key."""
    return f"""(
  select {columns}
  from {table}
  where unit_id = u.unit_id and observed_at > now() - {SEARCH} and {WITHIN_DAY} and {condition}
  order by observed_at desc
  limit 1
)"""


BALANCE = newest_of(
    "loss.balance",
    "observed_at, interval_s, inflow_wh, outflow_wh, loss_wh, members_loss_wh, technical_wh, members_technical_wh, "
    "sigma_wh, total_sigma_wh, generation_wh, estimated_wh, coverage, computable, class, reasons, recorded_at",
    # A row that still gathers its members would flicker: for the length of an interval the one before it stands.
    "(computable or observed_at <= now() - interval_s * interval '1 second')",
)
# Centres of buckets would fall between two instants: a point stands at the end of its bucket, as an interval does.
BUCKET = "date_bin('$__interval', observed_at - interval '1 microsecond', timestamptz 'epoch') + interval '$__interval'"

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

REGION = "${region:sqlstring}"
SUBSTATION = "${substation:sqlstring}"
#: Whether nothing narrows down the place.
EVERYWHERE = f"({REGION} = '*' and {SUBSTATION} = '*')"
NOW = "upper_inf(m.recorded) and m.valid @> now()"
#: Whether a feeder supplies an area now; or was the last to do so, when switches have cut the area off.
SUPPLIES = f"""({NOW} or upper_inf(m.recorded) and lower(m.valid) <= now() and not exists (
    select
    from grid.member l
    where l.child_id = m.child_id and l.parent_kind = m.parent_kind and upper_inf(l.recorded)
      and lower(l.valid) > lower(m.valid) and lower(l.valid) <= now()
  ) and exists (
    select
    from grid.connection c
    where c.element = m.child_id::bigint * 3 + 2 and upper_inf(c.recorded) and c.valid @> now()
  ))"""
#: A common table of the substations that the variables leave: a region has the busbars (or lines) of its substations.
HERE = f"""here as (
  select s.code, s.name
  from grid.substation s
  where {SUBSTATION} in ('*', s.code) and (
    {REGION} = '*' or exists (
      select
      from grid.unit e
      join grid.member m on m.child_id = e.unit_id and m.parent_kind = 4 and {NOW}
      join grid.unit r on r.unit_id = m.unit_id
      where e.substation = s.code and r.code = {REGION}
    )
  )
)"""


def is_here(unit: str = "u") -> str:
    """Whether a unit with a substation of its own is at the chosen place; needs `HERE`."""
    return f"({EVERYWHERE} or {unit}.substation in (select code from here))"


def has_feeder_here(unit: str = "u") -> str:
    """The same of an area, by the feeder that supplies it or did so last; needs `HERE`."""
    return f"""({EVERYWHERE} or {unit}.unit_id in (
    select m.child_id
    from grid.unit f
    join grid.member m on m.unit_id = f.unit_id and m.child_id is not null and {SUPPLIES}
    where f.kind = 'feeder' and f.substation in (select code from here)
  ))"""


def is_of_here(unit: str = "u") -> str:
    """The same of a unit of any kind; needs `HERE`."""
    return f"({is_here(unit)} or {has_feeder_here(unit)} or {unit}.kind = 'region' and {unit}.code = {REGION})"


def of_substation(codes: str) -> str:
    """Whether switch `s` stands now in one of the substations that a statement lists."""
    return f"""exists (
    select
    from grid.connection c
    join grid.node n on n.node_id = c.from_node_id
    where c.element = s.switch_id::bigint * 3 + 1 and upper_inf(c.recorded) and c.valid @> now()
      and n.substation in ({codes})
  )"""


#: A longer range is drawn from days: a year of quarter-hours of one unit lies on as many pages of the disk.
_SHORT = "($__timeTo() - $__timeFrom() <= interval '8 days')"
#: The results of unit `u` in the range that is shown.
SERIES = f"""(
  select
    observed_at, interval_s, inflow_wh, outflow_wh, loss_wh, members_loss_wh, technical_wh, sigma_wh, total_sigma_wh,
    estimated_wh, computable, coverage::float8 as coverage
  from loss.balance
  where unit_id = u.unit_id and $__timeFilter(observed_at) and {WITHIN_DAY} and {_SHORT}
  union all
  select
    ends_at, covered_s, inflow_wh, outflow_wh, loss_wh, members_loss_wh, technical_wh, sigma_wh, null,
    estimated_wh, computable, covered_s / expected_s::float8
  from loss.period
  where unit_id = u.unit_id and period = 'day' and revision > 0 and covered_s > 0 and $__timeFilter(ends_at)
    and not {_SHORT}
)"""
#: The last local day of all units that has been published.
LAST_DAY = """(
  select max(first_day) from loss.period where period = 'day' and revision > 0 and ends_at <= now()
    and first_day > current_date - 40
)"""
LOSS_RATE = Column("loss_rate", "Loss rate", Unit.FRACTION, decimals=2)
#: What `rates_of` gives: the rate, half the width of its band, and the part that physics takes.
RATES = (
    LOSS_RATE,
    Column("band", "± 95 %", Unit.FRACTION, decimals=2),
    Column("technical_rate", "Technical", Unit.FRACTION, decimals=2),
)


def rates_of(table: str, *, with_members: bool = False) -> str:
    """Columns `RATES` of a row of results or of a period; NULL where it isn't computable."""
    loss, sigma, technical = f"{table}.loss_wh", f"{table}.sigma_wh", f"{table}.technical_wh"
    if with_members:
        loss, technical = f"({loss} + {table}.members_loss_wh)", f"({technical} + {table}.members_technical_wh)"
        sigma = f"{table}.total_sigma_wh"
    inflow = f"nullif({table}.inflow_wh, 0)::float8"
    return f"""case when {table}.computable then {loss} / {inflow} end as loss_rate,
  case when {table}.computable then {BAND} * {sigma} / {inflow} end as band,
  case when {table}.computable then {technical} / {inflow} end as technical_rate"""


def lines_with_band(name: str, value: str, sigma: str) -> str:
    """Columns `name`, `name`_low and `name`_high: a value and the ends of its 95 % band."""
    return f"""({value})::float8 as {name},
  ({value} - {BAND} * {sigma})::float8 as {name}_low,
  ({value} + {BAND} * {sigma})::float8 as {name}_high"""


def columns_with_band(name: str, title: str) -> tuple[Column, Column, Column]:
    """Columns of `lines_with_band`."""
    return Column(name, title), Column(f"{name}_low", f"{title}, low"), Column(f"{name}_high", f"{title}, high")


#: Power over what may be carried: a gauge that is full above it.
LOAD = Column(
    "load",
    "Load",
    Unit.FRACTION,
    decimals=0,
    below=Colour.GOOD,
    steps=(Step(0.8, Colour.WARNING), Step(1.0, Colour.BAD)),
    most=1.2,
)
COVERAGE = Column(
    "coverage", "Coverage", Unit.FRACTION, decimals=0, below=Colour.WARNING, steps=(Step(0.995, Colour.GOOD),)
)
CODE = Column("code", "Code", hidden=True)


def to_feeder(*, keep: bool = True) -> Link:
    """To the board of the feeder whose code is in column `code`."""
    kept = ("region", "substation") if keep else ()
    return Link("Open the feeder", "meterline-feeder", values=(("feeder", "code"),), keep=kept)


def to_area(*, keep: bool = True) -> Link:
    """To the board of the area whose code is in column `code`, of the feeder in column `feeder_code`."""
    kept = ("region", "substation") if keep else ()
    return Link("Open the area", "meterline-area", values=(("feeder", "feeder_code"), ("area", "code")), keep=kept)


#: The feeder of area `u`: code and name.
FEEDER_OF = f"""(
  select f.code, f.name
  from grid.member m
  join grid.unit f on f.unit_id = m.unit_id and f.kind = 'feeder'
  where m.child_id = u.unit_id and {SUPPLIES}
  limit 1
)"""


def fresh(condition: str = "true") -> str:
    """A common table of the newest result of every unit `u` that meets a condition.

    Those of the last 20 minutes are read in one go; only a unit without any is looked up by itself, so that 20,000
    units cost a tenth of 20,000 look-ups.
    """
    return f"""recent as materialized (
  select unit_id, max(observed_at) as observed_at, max(interval_s) as interval_s, max(recorded_at) as recorded_at
  from loss.balance
  where observed_at > now() - interval '20 minutes' and {WITHIN_DAY}
  group by unit_id
), fresh as (
  select u.name, u.kind, u.gateway, r.observed_at, r.interval_s, r.recorded_at
  from grid.unit u
  join recent r using (unit_id)
  where {condition}
  union all
  select u.name, u.kind, u.gateway, b.observed_at, b.interval_s, b.recorded_at
  from grid.unit u
  left join lateral (
    select observed_at, interval_s, recorded_at
    from loss.balance
    where unit_id = u.unit_id and observed_at > now() - {SEARCH} and {WITHIN_DAY}
    order by observed_at desc
    limit 1
  ) b on true
  where u.unit_id not in (select unit_id from recent) and {condition}
)"""
