"""Events that boards mark on their time axes: switching, restatements, alerts."""

from __future__ import annotations

from deploy.boards.model import Annotation, Colour

SWITCHING = Annotation(
    "switching",
    "Switching",
    """
select lower(p.valid) as time, null::timestamptz as timeend, s.code || ' ' || p.position as text
from grid.switch_position p
join grid.switch s using (switch_id)
where upper_inf(p.recorded) and lower(p.valid) between $__timeFrom() and $__timeTo()
order by lower(p.valid) desc
limit 200
""",
    Colour.MUTED,
)
ALERTS = Annotation(
    "alerts",
    "Alerts",
    """
select
  a.opened_at as time,
  case when a.state in ('resolved', 'closed') then a.updated_at end as timeend,
  u.name || ': ' || a.kind as text
from alerts.alert a
join grid.unit u using (unit_id)
where $__timeFilter(a.opened_at)
order by a.opened_at desc
limit 200
""",
    Colour.BAD,
)


def alerts_of(variable: str) -> Annotation:
    """Alerts of the unit that a variable names."""
    return Annotation(
        "alerts",
        "Alerts",
        f"""
select
  a.opened_at as time,
  case when a.state in ('resolved', 'closed') then a.updated_at end as timeend,
  u.name || ': ' || a.kind as text
from alerts.alert a
join grid.unit u using (unit_id)
where $__timeFilter(a.opened_at) and u.code = ${{{variable}:sqlstring}}
order by a.opened_at desc
limit 200
""",  # noqa: S608 - a variable's name is a constant of this folder
        Colour.BAD,
    )


def restatements_of(variable: str) -> Annotation:
    """When a day of the unit that a variable names was published anew: `loss.period_revision` by its key."""
    return Annotation(
        "restatements",
        "Restatements",
        f"""
select
  p.published_at as time,
  null::timestamptz as timeend,
  to_char(p.first_day, 'YYYY-MM-DD') || ': revision ' || p.revision as text
from grid.unit u
join loss.period_revision p on p.unit_id = u.unit_id and p.period = 'day' and p.status = 'restated'
where u.code = ${{{variable}:sqlstring}} and $__timeFilter(p.published_at)
  and p.first_day > ($__timeFrom() - interval '400 days')::date
order by p.published_at desc
limit 200
""",  # noqa: S608 - a variable's name is a constant of this folder
        Colour.WARNING,
    )
