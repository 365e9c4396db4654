"""Indicators of facts from elsewhere, against what the test wrote: as it was known at any instant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from store.connection import Connection, connect
from store.rollout import Figure, read_figure
from sync.load import load_grid
from tests.rollout_grid import DAY, MONDAY, SHANGHAI, grow, rollout_model, write_consistency, write_day

HOUR = timedelta(hours=1)


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, rollout_model())
        yield opened


def figure(connection: Connection, name: str, at: datetime, unit: str | None = None, days: int = 1) -> Figure:
    return read_figure(connection, name, unit, at, SHANGHAI.key, at - days * DAY)


def test_losses_are_those_that_were_published_then(connection: Connection) -> None:
    tuesday, thursday = MONDAY + DAY, MONDAY + 3 * DAY
    write_day(connection, "A1", date(2040, 6, 4), tuesday, 1_000_000, 60_000, class_="high", estimated_wh=19_400)
    write_day(connection, "F1", date(2040, 6, 4), tuesday, 2_000_000, 40_000)
    write_day(connection, "A1", date(2040, 6, 4), thursday, 1_000_000, 30_000, revision=2)
    before, now, later = tuesday - HOUR, tuesday + HOUR, thursday + HOUR
    assert figure(connection, "area_loss_rate", before, days=7).value is None
    assert figure(connection, "area_loss_rate", now, days=7).value == 0.06
    assert figure(connection, "area_loss_rate", later, days=7).value == 0.03
    assert figure(connection, "line_loss_rate", later, "county-01", days=7).value == 0.02
    assert figure(connection, "line_loss_rate", later, "county-02", days=7).value is None
    # County 1 has A1 and F1; of all, A2 and F2 were not published and aren't qualified.
    assert figure(connection, "qualified_rate", now, "county-01").value == 1 / 2
    assert figure(connection, "qualified_rate", later, "county-01").value == 1
    qualified = figure(connection, "qualified_rate", later)
    assert (qualified.part, qualified.whole) == (2, 4)
    # Estimated: 19,400 of 1,000,000 in and 940,000 out.
    assert figure(connection, "estimated_share", now, "county-01").value == 0.01
    assert figure(connection, "collection", now, "county-01").value == pytest.approx(0.99)
    assert figure(connection, "collection", now).value == pytest.approx(0.99 / 2)
    assert figure(connection, "collection", now, "county-02").value is None


def test_a_day_that_is_published_after_its_report_is_in_the_next(connection: Connection) -> None:
    """At the end of a day nobody has published it yet: its report has the day before, and says so."""
    sunday, monday = date(2040, 6, 3), date(2040, 6, 4)
    midnight = datetime(2040, 6, 5, tzinfo=SHANGHAI)
    write_day(connection, "A1", sunday, midnight - 20 * HOUR, 1_000_000, 50_000)
    write_day(connection, "F1", sunday, midnight - 20 * HOUR, 2_000_000, 50_000)
    write_day(connection, "A1", monday, midnight + 4 * HOUR, 1_000_000, 70_000)
    for name, value in (("area_loss_rate", 0.05), ("line_loss_rate", 0.025)):
        told = figure(connection, name, midnight)
        assert (told.value, told.day) == (value, sunday)
    later = figure(connection, "area_loss_rate", midnight + DAY)
    assert (later.value, later.day) == (0.07, monday)
    # Over a week all of its days that are published count, and no day before.
    week = figure(connection, "area_loss_rate", midnight + DAY, days=7)
    assert (week.part, week.whole, week.day) == (120_000, 2_000_000, monday)
    write_day(connection, "A1", sunday - 30 * DAY, midnight - 25 * DAY, 1_000_000, 90_000)
    assert figure(connection, "area_loss_rate", midnight + DAY, days=7) == week
    for name in ("collection", "qualified_rate", "estimated_share"):
        assert figure(connection, name, midnight, "county-01").day == sunday


def test_the_whole_is_what_there_was_then(connection: Connection) -> None:
    """An area that comes on Thursday changes no figure of Wednesday."""
    write_day(connection, "A1", date(2040, 6, 4), MONDAY + DAY, 1_000_000, 0)
    wednesday, friday = MONDAY + 2 * DAY, MONDAY + 4 * DAY
    before = [figure(connection, name, wednesday) for name in ("collection", "qualified_rate")]
    assert [each.whole for each in before] == [2 * 86_400, 4]
    grow(connection, friday)
    assert [figure(connection, name, wednesday) for name in ("collection", "qualified_rate")] == before
    after = [figure(connection, name, friday) for name in ("collection", "qualified_rate")]
    assert [each.whole for each in after] == [3 * 86_400, 5]


def test_consistency_is_of_the_last_day_that_has_ended(connection: Connection) -> None:
    write_consistency(connection, "A1", date(2040, 6, 4), 50, 40)
    write_consistency(connection, "A2", date(2040, 6, 4), 50, 50)
    write_consistency(connection, "A1", date(2040, 6, 5), 50, 50)
    first = datetime(2040, 6, 5, 9, tzinfo=SHANGHAI)
    assert figure(connection, "consistency", first - DAY).value is None
    assert figure(connection, "consistency", first).value == 0.9
    assert figure(connection, "consistency", first, "county-01").value == 0.8
    assert figure(connection, "consistency", first, "county-02-crew").value == 1
    assert figure(connection, "consistency", first + DAY).value == 1


def test_conflicts_are_counted_as_they_were_open_also_when_they_open_again(connection: Connection) -> None:
    at = [MONDAY + n * HOUR for n in range(6)]
    connection.execute(
        """
        insert into sync.entity (entity_id, kind, code)
        values (1, 'meter', 'A2-m1'), (2, 'area', 'A1'), (3, 'switch', 'x')
        """
    )
    for entity, opened_at in ((1, at[0]), (2, at[1]), (3, at[1])):
        connection.execute(
            """
            insert into sync.conflict (
              fingerprint, kind, entity_kind, entity_id, field, system, dataset, department, said, confidence,
              opened_at, seen_at
            ) values (%(mark)s, 'orphan', 'x', %(entity)s, 'record', 's', 'd', 'p', '{}', 1, %(at)s, %(at)s)
            """,
            {"mark": str(entity).encode(), "entity": entity, "at": opened_at},
        )
    connection.execute("update sync.conflict set closed_at = %s where entity_id = 1", [at[2]])
    connection.execute("update sync.conflict set closed_at = null, opened_at = %s where entity_id = 1", [at[4]])
    # What changes nothing about being open isn't noted.
    connection.execute("update sync.conflict set confidence = 0.5, seen_at = %s", [at[5]])

    def counted(unit: str | None = None) -> list[float | None]:
        return [figure(connection, "open_conflicts", instant, unit).value for instant in (at[0] - HOUR, *at)]

    assert counted() == [0, 1, 3, 2, 2, 3, 3]
    assert counted("county-02") == [0, 1, 1, 0, 0, 1, 1]
    assert counted("county-01") == [0, 0, 1, 1, 1, 1, 1]
    assert connection.execute("select count(*) from rollout.conflict_step").fetchone() == (5,)


def test_who_answers_for_what_is_asked_as_it_was_known(connection: Connection) -> None:
    write_consistency(connection, "A1", date(2040, 6, 4), 50, 40)
    known = MONDAY + 2 * DAY
    connection.execute(
        """
        update grid.responsibility r set recorded = tstzrange(lower(recorded), %(at)s)
        from grid.unit u where u.unit_id = r.unit_id and u.code = 'A1'
        """,
        {"at": known},
    )
    assert figure(connection, "consistency", known - HOUR, "county-01").value == 0.8
    assert figure(connection, "consistency", known, "county-01").value is None
