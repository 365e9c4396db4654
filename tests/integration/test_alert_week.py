"""A week of fifty events at a receiver that fails, is away and keeps silent: see `tests.alert_week`."""

from __future__ import annotations

import pytest

from tests.alert_week import play_week
from tests.integration.conftest import Database


@pytest.mark.timeout(600)
def test_a_week_of_fifty_events_at_a_receiver_that_fails(database: Database) -> None:
    played = play_week(database, 7)
    assert played.taken > played.notices >= 100
