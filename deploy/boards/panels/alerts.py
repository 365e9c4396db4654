"""Panels of alerts."""

from __future__ import annotations

from deploy.boards.model import Colour, Column, Panel, Picture, Step, Unit, Word

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
