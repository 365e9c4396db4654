"""Panels of alerts."""

# ruff: noqa: S608 - the statements are put together from the constants of this folder, never from input

from __future__ import annotations

from deploy.boards.model import Colour, Column, Link, Panel, Picture, Step, Unit, Word
from deploy.boards.panels.parts import HERE, is_of_here

#: Where the console shows an alert, with what may be done to it.
TO_ALERT = Link("Open and acknowledge", path="/alerts/{alert_id}")

SEVERITY = Column(
    "severity",
    "Severity",
    words=(
        Word("critical", "critical", Colour.BAD),
        Word("warning", "warning", Colour.WARNING),
        Word("info", "info", Colour.PLAIN),
    ),
    width_px=90,
)
STATE = Column(
    "state",
    "State",
    words=(
        Word("open", "open", Colour.BAD),
        Word("acknowledged", "acknowledged", Colour.WARNING),
        Word("in_progress", "in progress", Colour.WARNING),
        Word("suppressed", "suppressed", Colour.MUTED),
        Word("resolved", "resolved", Colour.GOOD),
        Word("closed", "closed", Colour.MUTED),
    ),
)

ALERTS_BY_STATE = Panel(
    key="alerts_by_state",
    title="Alerts",
    description="Alerts that are not resolved, closed or suppressed, and how many of them nobody has taken up.",
    picture=Picture.FIGURES,
    sql=f"""
with {HERE}
select
  count(*) filter (where a.state <> 'suppressed') as open,
  count(*) filter (where a.state = 'open') as untouched
from alerts.alert a
join grid.unit u using (unit_id)
where a.state not in ('resolved', 'closed') and {is_of_here()}
""",
    columns=(
        Column("open", "Open", Unit.COUNT, below=Colour.GOOD, steps=(Step(1, Colour.WARNING),)),
        Column("untouched", "Not acknowledged", Unit.COUNT, below=Colour.GOOD, steps=(Step(1, Colour.BAD),)),
    ),
)


def alert_rows(condition: str, tail: str) -> str:
    """A statement of alerts; `condition` may name `a` (the alert) and `u` (its unit)."""
    return f"""
select
  a.alert_id,
  a.severity,
  u.name as unit,
  a.kind,
  a.state,
  extract(epoch from now() - a.opened_at)::float8 as open_s,
  extract(epoch from now() - a.updated_at)::float8 as age_s
from alerts.alert a
join grid.unit u using (unit_id)
where {condition}
order by a.opened_at desc, a.alert_id desc
{tail}
"""


def alert_columns() -> tuple[Column, ...]:
    """Columns of `alert_rows`."""
    return (
        Column("alert_id", "Alert", link=TO_ALERT, width_px=70),
        SEVERITY,
        Column("unit", "Unit"),
        Column("kind", "Kind"),
        STATE,
        Column("open_s", "Open for", Unit.SECONDS, decimals=0, width_px=90),
        Column("age_s", "Changed", Unit.SECONDS, decimals=0, width_px=90),
    )


OPEN_ALERTS = Panel(
    key="open_alerts",
    title="Open alerts",
    description=(
        "What has been raised and not been resolved, the newest first; a row leads to where it is acknowledged."
    ),
    picture=Picture.TABLE,
    sql=f"\nwith {HERE}"
    + alert_rows(f"a.state not in ('resolved', 'closed') and a.state <> 'suppressed' and {is_of_here()}", "limit 50"),
    columns=alert_columns(),
    nothing="No open alert",
)

ALERTS_OVER_TIME = Panel(
    key="alerts_over_time",
    title="Alerts opened, by kind",
    description="How many alerts of each kind were opened, a local day each, over at most the last year.",
    picture=Picture.LINES,
    unit=Unit.COUNT,
    span="90d",
    sql="""
select
  (date_trunc('day', a.opened_at at time zone '$__timezone') + interval '1 day') at time zone '$__timezone' as time,
  a.kind as metric,
  count(*)::float8 as alerts
from alerts.alert a
where $__timeFilter(a.opened_at)
group by 1, 2
order by 1, 2
""",
)

FLOW = Panel(
    key="alert_flow",
    title="How alerts flow: stages by department",
    description=(
        "Of alerts of the last 30 days, 20,000 at most: how many stand in each stage now and for how long the oldest "
        "has, and how long those took that left it. `meterline flow show` has all cases, and what holds them up."
    ),
    picture=Picture.TABLE,
    sql="""
with recent as (
  select alert_id, role from alerts.alert
  where alert_id > (select coalesce(max(alert_id), 0) - 20000 from alerts.alert)
    and opened_at > now() - interval '30 days'
), stays as (
  select
    r.role, t.to_state as state, t.at as begin_at, lead(t.at) over its as end_at,
    t.actor = 'meterline' and t.to_state = 'resolved' as passed
  from recent r
  join alerts.transition t using (alert_id)
  where t.from_state is distinct from t.to_state
  window its as (partition by t.alert_id order by t.transition_id)
)
select
  state,
  role,
  count(*) filter (where end_at is null) as waiting,
  extract(epoch from now() - min(begin_at) filter (where end_at is null))::float8 as age_s,
  count(end_at) as ended,
  percentile_cont(0.5) within group (order by extract(epoch from end_at - begin_at)::float8)
    filter (where end_at is not null) as p50_s,
  percentile_cont(0.9) within group (order by extract(epoch from end_at - begin_at)::float8)
    filter (where end_at is not null) as p90_s
from stays
where state <> 'closed' and not (passed and end_at is null)
group by state, role
order by waiting desc, state, role
limit 100
""",
    columns=(
        STATE,
        Column("role", "Department"),
        Column("waiting", "There now", Unit.COUNT, below=Colour.PLAIN, steps=(Step(1, Colour.WARNING),)),
        Column("age_s", "Oldest", Unit.SECONDS, decimals=0),
        Column("ended", "Left it", Unit.COUNT),
        Column("p50_s", "Half within", Unit.SECONDS, decimals=0),
        Column("p90_s", "Nine of ten within", Unit.SECONDS, decimals=0),
    ),
    nothing="No alert in 30 days",
)
