"""Steps of a notice's way, by hand: a finding, a look at it, and what is owed of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from alerts.evaluate import evaluate
from alerts.routing import Routing
from alerts.rules import AlertPolicy
from alerts.sense import SenseRule, SenseRules
from grid.finding import Finding, Severity
from store.connection import Connection

NOW = datetime.now(UTC).replace(microsecond=0)
#: What the tests find needs no data to be there.
RULES = SenseRules({"x": SenseRule(), "y": SenseRule()})


def s(seconds: float) -> datetime:
    """So many seconds from now."""
    return NOW + timedelta(seconds=seconds)


def found(code: str, at: datetime, holds: bool = True, unit: str = "A1", kind: str = "x", **more: Any) -> Finding:
    """A finding of a unit, seen at that moment; `more` are its figures."""
    return Finding(kind, Severity.WARNING, unit, code, NOW, at, holds, figures={"n": 1, **more})


def owed_since(connection: Connection) -> datetime | None:
    """When the next notice that nobody has taken is due."""
    row = connection.execute("select min(due_at) from alerts.delivery where delivered_at is null").fetchone()
    return None if row is None else row[0]


def look(connection: Connection, routing: Routing, at: datetime, limit: int = 5_000) -> list[tuple[str, str]]:
    """One evaluation: event and fingerprint of what came of it."""
    done = evaluate(connection, AlertPolicy(), routing, at, rules=RULES, limit=limit)
    return [(event.event, event.fingerprint) for event in done]


def notices(connection: Connection) -> list[tuple[str, datetime, dict[str, Any]]]:
    """Target, moment and payload of all notices."""
    return connection.execute("select target, due_at, payload from alerts.delivery order by due_at, target").fetchall()


def fixed(at: datetime) -> Callable[[], datetime]:
    """A clock that stands."""
    return lambda: at
