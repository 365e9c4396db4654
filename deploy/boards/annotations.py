"""Events that boards mark on their time axes: switching, restatements, alerts."""

# ruff: noqa: S608 - the statements are put together from the constants of this folder, never from input

from __future__ import annotations

from deploy.boards.model import Annotation, Colour
from deploy.boards.panels.parts import EVERYWHERE, HERE, is_of_here, of_substation


def _switching(tables: str, condition: str) -> Annotation:
    """Switches that were reported in another position, where a condition on the switch `s` holds."""
    return Annotation(
        "switching",
        "Switching",
        f"""{tables}
select lower(p.valid) as time, null::timestamptz as timeend, s.code || ' ' || p.position as text
from grid.switch_position p
join grid.switch s using (switch_id)
where upper_inf(p.recorded) and lower(p.valid) between $__timeFrom() and $__timeTo() and {condition}
order by lower(p.valid) desc
limit 200
""",
        Colour.MUTED,
    )


def _alerts(tables: str, condition: str) -> Annotation:
    """Alerts of the units `u` that a condition leaves."""
    return Annotation(
        "alerts",
        "Alerts",
        f"""{tables}
select
  a.opened_at as time,
  case when a.state in ('resolved', 'closed') then a.updated_at end as timeend,
  u.name || ': ' || a.kind as text
from alerts.alert a
join grid.unit u using (unit_id)
where $__timeFilter(a.opened_at) and {condition}
order by a.opened_at desc
limit 200
""",
        Colour.BAD,
    )


#: Of the chosen place.
SWITCHING = _switching(f"with {HERE}", f"({EVERYWHERE} or {of_substation('select code from here')})")
ALERTS = _alerts(f"with {HERE}", is_of_here())


def switching_of(variable: str) -> Annotation:
    """Switching in the substation of the unit that a variable names."""
    substation = f"select substation from grid.unit where code = ${{{variable}:sqlstring}}"
    return _switching("", of_substation(substation))


def alerts_of(variable: str) -> Annotation:
    """Alerts of the unit that a variable names."""
    return _alerts("", f"u.code = ${{{variable}:sqlstring}}")


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
""",
        Colour.WARNING,
    )
