"""Pieces of SQL and columns that several panels share."""

# ruff: noqa: S608 - the statements are put together from the constants of this folder, never from input

from __future__ import annotations

from deploy.boards.model import Colour, Column, Unit, Word

#: A feeder or an area is called high above this loss rate, once its whole band lies above. Utilities differ: the
#: figure is a common limit for areas and 10 kV lines, and gives way to thresholds from the database.
HIGH_LOSS_RATE = 0.10
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
    "observed_at, interval_s, inflow_wh, loss_wh, members_loss_wh, technical_wh, sigma_wh, coverage, computable, "
    "class, recorded_at",
    # A row that still gathers its members would flicker: for the length of an interval the one before it stands.
    "(computable or observed_at <= now() - interval_s * interval '1 second')",
)
BLOCK = newest_of("telemetry.block", "observed_at, interval_s")
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


def class_of(loss: str, sigma: str, inflow: str, computable: str) -> str:
    return f"""case
    when not ({computable}) then 'not_computable'
    when {loss} - {BAND} * {sigma} > {HIGH_LOSS_RATE} * {inflow} then 'high'
    when {loss} + {BAND} * {sigma} < 0 then 'negative'
    else 'normal'
  end"""
