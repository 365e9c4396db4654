"""Areas with days of loss, something done at one of them, and parameters: what the tests of the ledger begin from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from benefit.parameters import hash_of, parse_parameters, to_body
from benefit.update import Updated, update_ledger
from grid.model import Duty, GridModel, Organisation, OrganisationKind, Responsibility
from store.benefit import add_parameters, approve_parameters
from store.connection import Connection
from tests.small_grid import small_model

FIRST = date(2026, 3, 2)
#: Local day of the repair: four weeks after the first.
REPAIRED = FIRST + timedelta(days=28)
NOON = datetime(REPAIRED.year, REPAIRED.month, REPAIRED.day, 12, tzinfo=UTC)
LONG_AFTER = datetime(2026, 6, 1, tzinfo=UTC)
AREAS = tuple(f"A{n}" for n in range(1, 21))
STOLEN_WH = 30_000

PARAMETERS = """
currency = "CNY"
[prices]
default = 0.50
household = 0.5283
[carbon]
g_per_kwh = 570.3
saved_share = 0.25
[visits]
by_proposal = 1
by_conflict = 0.5
hours = 2.5
cost = 180.00
[outages]
baseline_minutes = 90
value_per_customer_hour = 3.20
[social]
bills_per_year = 12
complaints_per_wrong_bill = 0.08
complaints_per_customer_hour = 0.001
[departments]
marketing = 40
distribution = 35
metering = 15
dispatch = 10
[windows]
controls_least = 10
[model]
first_year = 2026
years = 5
discount_rate = 0.06
persistence = 0.9
flows = [
  { unit = "county-01", year = 2026, kind = "investment", amount = 1000.00, note = "meters" },
  { unit = "county-01", year = 2026, kind = "running", amount = 100.00, note = "servers" },
  { unit = "county-02", year = 2027, kind = "people", amount = 50.05, note = "one day a month" },
  { unit = "county-02", year = 2027, kind = "benefit", amount = 70.10, note = "assumed" },
]
[model.sensitivity]
discount_rate = [0.04, 0.08]
persistence = [0.7, 1.0]
investment = [0.8, 1.5]
measured = [0.5, 1.2]
"""


def benefit_model() -> GridModel:
    """Twenty areas on one feeder; county 1 answers for the first of them."""
    organisations = (
        Organisation("utility", "Utility", OrganisationKind.UNIT),
        Organisation("county-01", "County 1", OrganisationKind.UNIT, "utility"),
        Organisation("county-02", "County 2", OrganisationKind.UNIT, "utility"),
    )
    model = small_model(**dict.fromkeys(AREAS, "F1"))
    return replace(
        model,
        organisations=organisations,
        responsibilities=(Responsibility("A1", Duty.OPERATION, "county-01"),),
    )


def approve_some(connection: Connection, text: str = PARAMETERS, by: str = "li") -> int:
    """Record parameters and have somebody else approve them."""
    parameters = parse_parameters(text)
    number, _ = add_parameters(connection, hash_of(parameters), to_body(parameters), "test", by)
    assert approve_parameters(connection, number, "wang")
    return number


def losses(seed: int = 1, stolen_wh: int = STOLEN_WH, days: int = 57) -> tuple[np.ndarray, np.ndarray]:
    """Daily loss and inflow, (days, areas): weather that all share, noise of each; a theft in A1 until the repair."""
    generator = np.random.default_rng(seed)
    size = generator.uniform(0.8, 1.25, len(AREAS))
    weather = 1 + 0.03 * np.sin(np.arange(days) / 9) + 0.03 * generator.standard_normal(days)
    noise = 1 + 0.02 * generator.standard_normal((days, len(AREAS)))
    inflow = 1_000_000 * size * weather[:, None] * noise
    loss = 0.04 * inflow * (1 + 0.02 * generator.standard_normal((days, len(AREAS))))
    loss[:28, 0] += stolen_wh
    loss[28, 0] += stolen_wh / 2
    return loss.round().astype(np.int64), inflow.round().astype(np.int64)


def write_losses(connection: Connection, loss: np.ndarray, inflow: np.ndarray, first: date = FIRST) -> None:
    """Publish them as days that stand."""
    rows = [
        (area, first + timedelta(days=n), int(loss[n, i]), int(inflow[n, i]))
        for i, area in enumerate(AREAS)
        for n in range(len(loss))
    ]
    for area, day, loss_wh, inflow_wh in rows:
        publish_day(connection, area, day, loss_wh, inflow_wh)


def publish_day(
    connection: Connection, unit: str, day: date, loss_wh: int, inflow_wh: int, *, revision: int = 1
) -> None:
    """A published day; what stood before it doesn't any more."""
    begins = datetime(day.year, day.month, day.day, tzinfo=UTC)
    key: dict[str, Any] = {"unit": unit, "day": day, "published": begins + timedelta(days=2, hours=revision)}
    if revision > 1:
        connection.execute(
            "update loss.period_revision p set until_at = %(published)s from grid.unit u "
            "where u.code = %(unit)s and p.unit_id = u.unit_id and p.first_day = %(day)s and until_at is null",
            key,
        )
    connection.execute(
        """
        insert into loss.period_revision (
          unit_id, period, first_day, revision, begins_at, ends_at, expected_s, covered_s, intervals, inflow_wh,
          outflow_wh, loss_wh, members_loss_wh, uncontracted_wh, generation_wh, estimated_wh, sigma_wh,
          systematic_sigma_wh, ends_sigma_wh, opening_sigma_wh, closing_sigma_wh, computable, class, reasons, status,
          published_at
        )
        select
          unit_id, 'day', %(day)s, %(revision)s, %(begins)s, %(ends)s, 86400, 86400, 96, %(inflow)s,
          %(inflow)s - %(loss)s, %(loss)s, 0, 0, 0, 0, 100, 50, 10, 5, 5, true, 'normal', 0,
          case when %(revision)s = 1 then 'final' else 'restated' end, %(published)s
        from grid.unit where code = %(unit)s
        """,
        {
            **key,
            "revision": revision,
            "begins": begins,
            "ends": begins + timedelta(days=1),
            "inflow": inflow_wh,
            "loss": loss_wh,
        },
    )


def confirm(
    connection: Connection,
    unit: str,
    meter: str | None,
    done_at: datetime,
    found_wh: int | None,
    kind: str = "theft_bypass",
    result: str = "confirmed",
) -> int:
    """A work order that is done; its number."""
    (alert,) = connection.execute(
        """
        insert into alerts.alert (fingerprint, kind, severity, unit_id, meter, state, evidence)
        select %(mark)s, %(kind)s, 'warning', unit_id, %(meter)s, 'resolved', '{}' from grid.unit where code = %(unit)s
        returning alert_id
        """,
        {"mark": f"{kind}:{unit}:{done_at}", "kind": kind, "meter": meter, "unit": unit},
    ).fetchall()[0]
    (number,) = connection.execute(
        """
        insert into alerts.work_order (
          alert_id, state, assignee, created_at, created_by, deadline, evidence, result, found_wh, note, done_at,
          done_by
        ) values (
          %(alert)s, 'done', 'crew', %(from)s, 'li', %(at)s, '{}', %(result)s, %(found)s, 'seen', %(at)s, 'crew'
        )
        returning work_order_id
        """,
        {
            "alert": alert,
            "from": done_at - timedelta(days=1),
            "at": done_at,
            "found": found_wh,
            "result": result,
        },
    ).fetchall()[0]
    return int(number)


def with_theft(connection: Connection) -> Connection:
    """A theft that was found and ended, with its days; nothing is entered yet."""
    approve_some(connection)
    write_losses(connection, *losses())
    confirm(connection, "A1", "A1-m1", NOON, 500_000)
    return connection


def update(connection: Connection, at: datetime = LONG_AFTER) -> Updated:
    """Bring the ledger up to date as of then."""
    return update_ledger(connection, ZoneInfo("UTC"), at)
