"""Social benefit: reliability, wrong bills, complaints, emissions, each with what it rests on. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from benefit.parameters import Parameters
from benefit.reliability import Outage, indices
from store.benefit import Row, count_customers, read_interruptions, read_totals, read_wrong_records
from store.connection import Connection

_YEAR_S = 365 * 86_400


@dataclass(frozen=True, slots=True)
class Indicator:
    """A figure.

    Attributes
    ----------
    value
        None where it can't be told.
    basis
        measured or estimate.
    rests_on
        How many rows, and of what.
    """

    name: str
    value: float | None
    unit: str
    basis: str
    rests_on: str


def social_benefit(
    connection: Connection, parameters: Parameters, since: datetime, until: datetime, organisation: str | None = None
) -> list[Indicator]:
    """Indicators of a span, of all or of an organisation with those below it.

    Reliability is of unplanned outages that began within the span; planned ones stand apart. Entries count by when
    they were done.
    """
    rows = [Outage(*row) for row in read_interruptions(connection, since, until, organisation)]
    customers = count_customers(connection, until, organisation)
    totals = read_totals(connection, organisation, since=since, until=until)
    wrong = read_wrong_records(connection, until, organisation)
    return [
        *_reliability(rows, customers, parameters),
        *_bills(wrong, since, until, parameters),
        *_of_outages(totals, parameters),
        Indicator(
            "co2_avoided_kg", sum(row["co2_g"] for row in totals) / 1_000, "kg", "estimate",
            f"{_entries(totals, 'loss_avoided')} entries of avoided loss, {parameters.carbon.g_per_kwh} g/kWh",
        ),
    ]  # fmt: skip


def _reliability(rows: Sequence[Outage], customers: int, parameters: Parameters) -> list[Indicator]:
    sustained_s = float(parameters.outages.sustained_minutes) * 60
    unplanned, planned = [o for o in rows if not o.planned], [o for o in rows if o.planned]
    of = f"{len(unplanned)} outages, {customers} customers"
    found = indices(unplanned, customers, sustained_s)
    of_planned = indices(planned, customers, sustained_s)
    values = [
        ("saidi_minutes", None if found is None else found.saidi_minutes, "min", of),
        ("saifi", None if found is None else found.saifi, "1", of),
        ("caidi_minutes", None if found is None else found.caidi_minutes, "min", of),
        ("maifi", None if found is None else found.maifi, "1", of),
        ("restore_minutes", None if found is None else found.restore_minutes, "min", of),
        ("restore_median_minutes", None if found is None else found.restore_median_minutes, "min", of),
        (
            "saidi_planned_minutes", None if of_planned is None else of_planned.saidi_minutes, "min",
            f"{len(planned)} outages, {customers} customers",
        ),
    ]  # fmt: skip
    return [Indicator(name, value, unit, "measured", rests_on) for name, value, unit, rests_on in values]


def _bills(
    wrong: Sequence[tuple[str, datetime]], since: datetime, until: datetime, parameters: Parameters
) -> list[Indicator]:
    """A record put right makes right bills from then on: as many as a customer gets in what is left of the span."""
    within = [at for _, at in wrong if since <= at]
    years = sum((until - max(at, since)).total_seconds() for _, at in wrong) / _YEAR_S
    bills = years * float(parameters.social.bills_per_year)
    rests_on = f"{len(wrong)} records, {parameters.social.bills_per_year} bills a year"
    return [
        Indicator("wrong_records_repaired", float(len(within)), "1", "measured", f"{len(within)} records"),
        Indicator("wrong_bills_avoided", bills, "1", "estimate", rests_on),
        Indicator(
            "bill_complaints_avoided", bills * float(parameters.social.complaints_per_wrong_bill), "1", "estimate",
            f"{rests_on}, {parameters.social.complaints_per_wrong_bill} complaints a bill",
        ),
    ]  # fmt: skip


def _of_outages(totals: Sequence[Row], parameters: Parameters) -> list[Indicator]:
    hours = Decimal(sum(row["outage_customer_s"] for row in totals)) / 3_600
    of = f"{_entries(totals, 'outage')} outages, {parameters.outages.baseline_minutes} minutes to restore before"
    return [
        Indicator("outage_customer_hours_avoided", float(hours), "h", "estimate", of),
        Indicator(
            "outage_complaints_avoided", float(hours * parameters.social.complaints_per_customer_hour), "1",
            "estimate", f"{of}, {parameters.social.complaints_per_customer_hour} complaints an hour",
        ),
    ]  # fmt: skip


def _entries(totals: Sequence[Row], item: str) -> int:
    return sum(int(row["entries"]) for row in totals if row["item"] == item)
