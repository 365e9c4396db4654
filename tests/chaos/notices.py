"""What goes wrong beyond the telemetry: receivers that are away, and a storm of findings. On a clock of their own."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.alerts_storm import storm, storm_model
from store.connection import Connection, connect
from sync.load import load_grid
from tests.alert_week import play_week
from tests.copy_receiver import keep_copy
from tests.held_copy import down_for_six_hours, webhook_place
from tests.integration.conftest import Database

#: Findings of a minute, and the feeders with their areas on which they are.
FINDINGS, FEEDERS, AREAS = 100_000, 100, 20


def receivers_away(make: Callable[[], Database], seed: int) -> str:
    """Who is told of alerts, and who keeps a copy of the grid, is away for six hours, fails or keeps silent: each
    effect comes once.
    """
    week = play_week(make(), seed)
    with _connected(make()) as connection, keep_copy() as receiver:
        tries = down_for_six_hours(connection, "webhook", webhook_place(receiver), seed)
    return f"{week}; a copy of the grid equals it after {tries} tries while it was away"


def storm_of_findings(make: Callable[[], Database], seed: int) -> str:
    """As many findings in a minute: at most one notice a group and minute, and each can be asked for."""
    with _connected(make()) as connection:
        load_grid(connection, storm_model(FEEDERS, AREAS))
        seen = storm(connection, FINDINGS, FEEDERS, AREAS, seed)
    assert (seen.stored, seen.listed, seen.alerts, seen.told) == (FINDINGS,) * 4, seen
    assert seen.most == 1, seen
    return (
        f"{seen.listed:,} findings listed, told in {seen.notices:,} notices, of a group at most {seen.most} a minute;"
        f" {seen.rate:,.0f} findings/s"
    )


def _connected(database: Database) -> Connection:
    opened = connect(database.conninfo("app"), "test")
    opened.autocommit = True
    return opened


#: By name: plays a round in databases of its own by a seed, and says what came of it; raises AssertionError where it
#: isn't what it must be.
NOTICES: dict[str, Callable[[Callable[[], Database], int], str]] = {
    "receivers-away": receivers_away,
    "storm": storm_of_findings,
}
