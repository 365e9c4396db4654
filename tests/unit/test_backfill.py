"""When the backfill's lane works, and when it gives way."""

from __future__ import annotations

import pytest

from grid.model import UnitKind
from grid.topics import TELEMETRY_BACKFILL
from ingest.topics import BACKFILL_AFTER_US, topic_of
from streams.backfill import LaneSettings, is_behind
from streams.counters import Counters


def areas(delay_s: float, committed_s: float) -> Counters:
    counters = Counters()
    counters.last_delay_s, counters.last_commit_s = delay_s, committed_s
    return counters


def test_rests_so_that_it_works_for_its_share_of_the_time() -> None:
    lane = LaneSettings("", "g", "0", share=0.25)
    assert lane.rest_s(2.0) == pytest.approx(6.0)
    assert LaneSettings("", "g", "0", share=1).rest_s(2.0) == 0.0
    for wrong in ({"share": 0.0}, {"share": 1.1}, {"batch": 0}):
        with pytest.raises(ValueError, match="share"):
            LaneSettings("", "g", "0", **wrong)


def test_gives_way_while_live_data_wait() -> None:
    idle = Counters()
    assert not is_behind(idle, [idle], 1_000.0)
    assert not is_behind(areas(0.3, 999.0), [idle], 1_000.0)
    assert is_behind(areas(5.0, 999.0), [idle], 1_000.0)
    # Live data have stopped since: that they were late once holds nobody up for ever.
    assert not is_behind(areas(5.0, 900.0), [idle], 1_000.0)
    assert not is_behind(idle, [Counters(busy_since=999.5)], 1_000.0)
    assert is_behind(idle, [Counters(busy_since=990.0)], 1_000.0)


def test_the_age_of_a_block_chooses_its_topic() -> None:
    assert topic_of(UnitKind.AREA, BACKFILL_AFTER_US) == "telemetry.area"
    assert topic_of(UnitKind.FEEDER, BACKFILL_AFTER_US) == "telemetry.scada"
    for kind in UnitKind:
        assert topic_of(kind, BACKFILL_AFTER_US + 1) == TELEMETRY_BACKFILL
    # A device whose clock is ahead is no old one.
    assert topic_of(UnitKind.AREA, -1) == "telemetry.area"
