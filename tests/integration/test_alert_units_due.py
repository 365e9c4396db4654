"""Which units a look sums: new results once, all units in turn, and nothing that wasn't committed is passed over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.evaluate import AnothersTurnError, evaluate
from alerts.routing import Routing
from alerts.rules import AlertPolicy
from alerts.units_due import ROUND_S, SLICE, TWICE_S, UnitsDue
from benchmarks.alerts_storm import storm_model
from store.alerts import lock_evaluation
from store.connection import Connection, connect
from sync.load import load_grid

FEEDERS, AREAS = 24, 50  # more units than a slice


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, storm_model(FEEDERS, AREAS))
        yield opened


SETTLE = """
insert into loss.balance (
  unit_id, observed_at, interval_s, inflow_wh, outflow_wh, loss_wh, members_loss_wh, sigma_wh, coverage, status,
  computable, revision, received_at
)
select
  unit_id, %(at)s::timestamptz - n * interval '15 minutes', 900, 10000, 10000 - %(loss_wh)s, %(loss_wh)s, 0, 50,
  1, 'final', true, 1, now()
from grid.unit, generate_series(0, %(intervals)s - 1) n
where code = %(unit)s
on conflict (unit_id, observed_at, interval_s) do update
set loss_wh = excluded.loss_wh, outflow_wh = excluded.outflow_wh, recorded_at = now()
returning unit_id
"""


def settle(
    connection: Connection, unit: str, loss_wh: int = 400, at: datetime | None = None, intervals: int = 48
) -> int:
    """Some quarter-hours of a unit, in one statement; its id."""
    arguments = {"unit": unit, "loss_wh": loss_wh, "at": at or datetime.now(UTC), "intervals": intervals}
    row = connection.execute(SETTLE, arguments).fetchone()
    assert row is not None
    return int(row[0])


class Clock:
    """Stands unless it is set."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def pick(connection: Connection, due: UnitsDue) -> list[int]:
    with connection.transaction():
        return due.pick(connection)


def after_first_round(connection: Connection, clock: Clock) -> UnitsDue:
    due = UnitsDue(clock)
    while pick(connection, due):
        due.done()
    due.done()
    assert not due.more()
    return due


def test_a_record_is_summed_once_and_a_later_one_of_the_same_unit_again(connection: Connection) -> None:
    due = after_first_round(connection, Clock())
    first = settle(connection, "F1")
    assert pick(connection, due) == [first]
    due.done()
    assert pick(connection, due) == []
    due.done()
    second = settle(connection, "F2")
    settle(connection, "F1", loss_wh=500, at=datetime.now(UTC))
    assert pick(connection, due) == sorted([first, second])


def test_a_flood_of_results_sums_a_unit_twice_in_a_while_and_what_is_new_elsewhere_at_once(
    connection: Connection,
) -> None:
    clock = Clock()
    flooded = settle(connection, "F1")
    due = after_first_round(connection, clock)
    for n, wanted in enumerate((True, True, False, False)):
        clock.now_s = TWICE_S + n
        settle(connection, "F1", loss_wh=500 + n)
        assert pick(connection, due) == ([flooded] if wanted else [])
        due.done()
        assert not due.more()  # what is held up doesn't hurry
    other = settle(connection, "F2")
    assert pick(connection, due) == [other]
    due.done()
    clock.now_s = 2 * TWICE_S
    assert pick(connection, due) == [flooded]


def test_what_was_not_committed_is_picked_again(connection: Connection) -> None:
    due = UnitsDue(Clock())
    assert pick(connection, due) == pick(connection, due) != []
    due = after_first_round(connection, Clock())
    unit = settle(connection, "F1")
    assert pick(connection, due) == [unit]
    assert pick(connection, due) == [unit]


def test_all_units_are_gone_through_in_slices_once_a_round(connection: Connection) -> None:
    clock = Clock()
    every = [row[0] for row in connection.execute("select unit_id from grid.unit order by unit_id")]
    assert SLICE < len(every) < 2 * SLICE
    due = UnitsDue(clock)
    for part in (every[:SLICE], every[SLICE:]):
        assert pick(connection, due) == part
        due.done()
    assert not due.more()
    clock.now_s = ROUND_S - 1
    assert pick(connection, due) == []
    due.done()
    clock.now_s = ROUND_S
    for part in (every[:SLICE], every[SLICE:], []):
        assert pick(connection, due) == part
        due.done()
        assert not due.more()  # what isn't new doesn't hurry


def test_those_that_lose_or_gain_most_come_first(connection: Connection) -> None:
    due = after_first_round(connection, Clock())
    every = [row[0] for row in connection.execute("select code from grid.unit where kind <> 'region' order by code")]
    with connection.transaction():
        for code in every:
            settle(connection, code)
        most = settle(connection, "F7", loss_wh=5_000, at=datetime.now(UTC) + timedelta(minutes=1))
        least = settle(connection, "F9", loss_wh=-5_000, at=datetime.now(UTC) + timedelta(minutes=1))
    first = pick(connection, due)
    assert len(first) == SLICE
    assert {most, least} <= set(first)
    due.done()
    assert due.more()
    second = pick(connection, due)
    due.done()
    assert not due.more()
    assert not set(first) & set(second)
    assert len(first) + len(second) == len(every)


def test_nobody_waits_for_ever_while_more_comes_than_a_look_takes(connection: Connection) -> None:
    due = after_first_round(connection, Clock())
    every = [row[0] for row in connection.execute("select code from grid.unit where kind <> 'region' order by code")]
    assert len(every) > SLICE
    least = None
    for look in range(20):
        with connection.transaction():
            for code in every:
                if code != "F9":
                    at = datetime.now(UTC) + timedelta(minutes=look)
                    settle(connection, code, 5_000, at, intervals=1)
        least = least or settle(connection, "F9", loss_wh=0)
        picked = pick(connection, due)
        due.done()
        if least in picked:
            break
    else:
        raise AssertionError("the unit that lost least was never summed")


def test_a_commit_that_comes_late_is_summed_with_the_next_look(connection: Connection, database: Any) -> None:
    with connect(database.conninfo("app"), "worker") as writer:
        due = after_first_round(connection, Clock())
        unit = settle(writer, "F1")
        for _ in range(3):
            assert pick(connection, due) == []
            due.done()
        time.sleep(1.5)
        assert pick(connection, due) == []
        due.done()
        writer.commit()
        assert pick(connection, due) == [unit]


def test_who_has_no_turn_says_so_and_passes_nothing_over(connection: Connection, database: Any) -> None:
    due = UnitsDue(Clock())
    settle(connection, "F1", loss_wh=5_000)
    with connect(database.conninfo("app"), "other") as other:
        assert lock_evaluation(other)
        with pytest.raises(AnothersTurnError):
            evaluate(connection, AlertPolicy(), Routing(), datetime.now(UTC), due=due)
    found = evaluate(connection, AlertPolicy(), Routing(), datetime.now(UTC) + timedelta(minutes=1), due=due)
    found += evaluate(connection, AlertPolicy(), Routing(), datetime.now(UTC) + timedelta(minutes=1), due=due)
    assert [(event.event, event.fingerprint) for event in found] == [("opened", "high_loss:F1")]


def test_what_leaves_the_window_ends_without_a_new_record(connection: Connection) -> None:
    clock = Clock()
    start = datetime.now(UTC)
    settle(connection, "F1", at=start)
    settle(connection, "F1", loss_wh=5_000, at=start - timedelta(hours=12))
    due = UnitsDue(clock)

    def events(at: datetime) -> list[tuple[str, str]]:
        found = evaluate(connection, AlertPolicy(), Routing(), at, due=due)
        return [(event.event, event.fingerprint) for event in found]

    assert events(start) + events(start) == [("opened", "high_loss:F1")]
    later = start + timedelta(hours=12)
    assert events(later) == []  # summed in the first round, not recorded since
    clock.now_s = ROUND_S
    assert events(later) + events(later) == [("resolved", "high_loss:F1")]
