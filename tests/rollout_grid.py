"""Twelve units of a utility, two feeders and two areas that they answer for, and facts of loss and consistency.

Instants are the test's own, always later than the grid model was recorded.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from grid.model import Duty, GridModel, Organisation, OrganisationKind, Responsibility
from store.connection import Connection
from sync.load import load_grid
from tests.small_grid import small_model

SHANGHAI = ZoneInfo("Asia/Shanghai")
UNITS = tuple(f"county-{n:02}" for n in range(1, 13))
#: A Monday, eight o'clock in Shanghai, later than any test runs.
MONDAY = datetime(2040, 6, 4, tzinfo=UTC)
DAY = timedelta(days=1)


def rollout_model(**areas_on: str) -> GridModel:
    """County 1 answers for feeder F1 and area A1, a crew of county 2 for area A2; the others for nothing."""
    organisations = (
        Organisation("utility", "Utility", OrganisationKind.UNIT),
        *(Organisation(unit, unit.title(), OrganisationKind.UNIT, "utility") for unit in UNITS),
        Organisation("county-02-crew", "Crew", OrganisationKind.CREW, "county-02"),
        Organisation("marketing", "Marketing", OrganisationKind.DEPARTMENT, "utility"),
    )
    held = (
        Responsibility("F1", Duty.OPERATION, "county-01"),
        Responsibility("A1", Duty.OPERATION, "county-01"),
        Responsibility("A2", Duty.OPERATION, "county-02-crew"),
    )
    return replace(small_model(**areas_on), organisations=organisations, responsibilities=held)


def grow(connection: Connection, at: datetime) -> None:
    """Area A3 comes to feeder F1, known from `at` on."""
    load_grid(connection, rollout_model(A3="F1"))
    connection.execute(
        """
        update grid.unit_state s set recorded = tstzrange(%s, null)
        from grid.unit u where u.unit_id = s.unit_id and u.code = 'A3'
        """,
        [at],
    )


def write_consistency(connection: Connection, unit: str, day: date, relations: int, consistent: int) -> None:
    """What a comparison of the systems came to."""
    connection.execute(
        """
        insert into sync.consistency
        select unit_id, 'transformer_customer', %s, %s, %s from grid.unit where code = %s
        """,
        [day, relations, consistent, unit],
    )


def write_day(
    connection: Connection,
    unit: str,
    day: date,
    published_at: datetime,
    inflow_wh: int,
    loss_wh: int,
    *,
    class_: str = "normal",
    covered_s: int = 86_400,
    estimated_wh: int = 0,
    revision: int = 1,
) -> None:
    """A published day of an assessment unit, as the service that sums days writes it."""
    begins = datetime(day.year, day.month, day.day, tzinfo=SHANGHAI)
    connection.execute(
        """
        update loss.period_revision p set until_at = %(published)s
        from grid.unit u
        where u.code = %(unit)s and p.unit_id = u.unit_id and p.first_day = %(day)s and until_at is null
        """,
        {"unit": unit, "day": day, "published": published_at},
    )
    connection.execute(
        """
        insert into loss.period_revision (
          unit_id, period, first_day, revision, begins_at, ends_at, expected_s, covered_s, intervals, inflow_wh,
          outflow_wh, loss_wh, members_loss_wh, uncontracted_wh, generation_wh, estimated_wh, sigma_wh,
          systematic_sigma_wh, ends_sigma_wh, opening_sigma_wh, closing_sigma_wh, computable, class, reasons, status,
          published_at
        )
        select unit_id, 'day', %(day)s, %(revision)s, %(begins)s, %(ends)s, 86400, %(covered)s, 96, %(inflow)s,
          %(inflow)s - %(loss)s, %(loss)s, 0, 0, 0, %(estimated)s, 0, 0, 0, 0, 0, true, %(class)s, 0, 'final',
          %(published)s
        from grid.unit where code = %(unit)s
        """,
        {
            "unit": unit, "day": day, "revision": revision, "begins": begins, "ends": begins + DAY,
            "covered": covered_s, "inflow": inflow_wh, "loss": loss_wh,
            "estimated": estimated_wh, "class": class_, "published": published_at,
        },
    )  # fmt: skip
