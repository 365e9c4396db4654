"""What the ledger says: sums, entries, evidence, the programme's economy. Reads only; the same rows give the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from benefit.economics import Gain, appraise, project, tornado
from benefit.measure import verify
from benefit.parameters import Parameters
from benefit.social import social_benefit
from benefit.split import split_by_name
from store.benefit import Row, list_entries, read_deviation, read_effect, read_totals, read_versions, read_yearly
from store.connection import Connection

#: Whole figures that add up.
SUMS = ("energy_wh", "money_cents", "visits_milli", "work_s", "outage_customer_s", "co2_g")
_PAGE = 10_000


class NoModelError(ValueError):
    """The approved parameters have no section `model`."""


def add_up(rows: Iterable[Row]) -> dict[str, int]:
    """Sums of the whole figures."""
    listed = list(rows)
    return {name: sum(int(row[name]) for row in listed) for name in SUMS}


def with_error(row: Row) -> Row:
    """A row whose error stands only where one is known: of an avoided loss; nothing says how exact the others are."""
    return row if row["item"] == "loss_avoided" else {**row, "sigma_wh": None}


def summary(
    connection: Connection,
    parameters: Parameters,
    *,
    organisation: str | None = None,
    unit: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> dict[str, Any]:
    """Sums by organisation, item and basis, in all, and money by department.

    The deviation of the whole is that of the avoided losses: None where there are none.
    """
    rows = read_totals(connection, organisation, unit, since, until)
    total = add_up(rows)
    known = any(row["item"] == "loss_avoided" for row in rows)
    deviation_wh = read_deviation(connection, organisation, unit, since, until)
    by_basis = {
        basis: add_up(row for row in rows if row["basis"] == basis) for basis in sorted({r["basis"] for r in rows})
    }
    return {
        "currency": parameters.currency,
        "entries": sum(int(row["entries"]) for row in rows),
        "no_effect_shown": sum(int(row["not_shown"]) for row in rows),
        "total": {**total, "sigma_wh": round(deviation_wh) if known else None},
        "by_basis": by_basis,
        "by_item": [with_error({**row, "sigma_wh": round(float(row["sigma_wh"]))}) for row in rows],
        "departments": split_by_name(total["money_cents"], parameters.departments),
    }


def all_entries(connection: Connection, **wanted: Any) -> list[Row]:
    """Every entry that stands, page by page."""
    found: list[Row] = []
    after: tuple[str, int, str] | None = None
    while True:
        page = list_entries(connection, **wanted, after=after, limit=_PAGE)
        found += map(with_error, page)
        if len(page) < _PAGE:
            return found
        last = page[-1]
        after = (last["source"], last["source_id"], last["item"])


def explain(connection: Connection, source: str, source_id: int, item: str | None = None) -> list[Row]:
    """Every version of a source's entries with its evidence; effects are computed again from what they rest on.

    `check` is `same`, `differs`, or `gone` where days aren't kept any more; None: nothing to be computed.
    """
    found = []
    for row in read_versions(connection, source, source_id, item):
        effect = None if row["effect_id"] is None else read_effect(connection, row["effect_id"])
        check = None if effect is None else verify(connection, effect)
        if effect is not None:
            effect = {**effect, "digest": bytes(effect["digest"]).hex()}
        found.append({**with_error(row), "effect": effect, "check": check})
    return found


def programme(connection: Connection, parameters: Parameters, zone: ZoneInfo) -> dict[str, Any]:
    """Net present value and payback of each unit and of all, by year, with the tornado.

    Parameters
    ----------
    zone
        The utility's: whose years they are.

    Raises
    ------
    NoModelError
        The parameters have no model.
    """
    model = parameters.model
    if model is None:
        raise NoModelError("the approved parameters have no section model")
    gains = [Gain(*row) for row in read_yearly(connection, zone.key)]
    flows = project(model, gains)
    units = sorted({flow.unit for flow in flows})
    years = [
        {"year": year, **{kind: _of(flows, year, kind) for kind in sorted({f.kind for f in flows})}}
        for year in range(model.first_year, model.first_year + model.years)
    ]
    worth = appraise(flows, model)
    return {
        "currency": parameters.currency,
        "measured": [asdict(gain) for gain in gains],
        "years": years,
        "all": asdict(worth),
        "units": [asdict(appraise(flows, model, unit)) for unit in units],
        "tornado": [{**asdict(swing), "swing_cents": swing.swing_cents} for swing in tornado(model, gains)],
        "departments": split_by_name(worth.npv_cents, parameters.departments),
    }


def _of(flows: Sequence[Any], year: int, kind: str) -> int:
    return sum(flow.cents for flow in flows if flow.year == year and flow.kind == kind)


def social(
    connection: Connection, parameters: Parameters, since: datetime, until: datetime, organisation: str | None = None
) -> list[dict[str, Any]]:
    """Indicators of `benefit.social`, as plain rows."""
    return [asdict(row) for row in social_benefit(connection, parameters, since, until, organisation)]
