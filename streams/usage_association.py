"""The job that compares records with voltages, energies and losses, an area at a time, and says which are doubted.

What it finds goes to the list of findings, to alerts, and as `sync.measured_area` to sync, which proposes the move.
An area is compared as the model has it at the end of the last closed day. Memory is one neighbourhood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from grid.finding import Finding
from grid.model import Role, UnitKind
from grid.quality import MISSING_WH
from grid.roster import UnitView
from kernels import association, association_energy
from kernels.association import Repair, paired_repair
from store.connection import Connection
from store.findings import add_findings
from store.usage import read_days
from store.usage_association import (
    advance_association,
    begin_association,
    due_areas,
    read_held_records,
    read_interval_s,
    read_neighbours,
    read_quantities,
    write_measured,
)
from store.usage_findings import FindingValues, add_finding, end_finding, link_alerts, update_finding
from store.views import load_views
from streams.steps.usage_day import ABNORMAL_SHARE, BAND, fit_slots
from streams.steps.usage_decide import UsageKind
from streams.steps.usage_records import Compared, Doubt, compare, is_mended, make_neighbourhood, with_repair
from streams.usage import RecordCounts, RecordRules, UsageRules
from streams.usage_findings import finding_for_alerts, over_for_alerts
from streams.usage_losses import DayReader

_AREAS = 50
_DAY = timedelta(days=1)
#: An area is compared from so many days on.
LEAST_DAYS = 14
#: Pairs with more customers, and areas with more, aren't repaired: all pairs of their meters are tried.
_MOST_METERS = 1_500


def compare_due(
    connection: Connection,
    rules: UsageRules,
    records: RecordRules,
    target: date,
    counts: RecordCounts,
    *,
    unit: str | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Compare areas whose turn it is, and write of each in a transaction; returns whether there may be more.

    Parameters
    ----------
    unit
        Only this area, whenever it was compared last.
    """
    first_day, since = target - timedelta(days=LEAST_DAYS - 1), target - timedelta(days=records.every_days)
    due = due_areas(connection, target, first_day, since, _AREAS, unit)
    for unit_id, code in due:
        if stopped():
            return False
        _compare_area(connection, unit_id, code, rules, records, target, counts)
    return unit is None and len(due) == _AREAS


def _compare_area(
    connection: Connection,
    unit_id: int,
    code: str,
    rules: UsageRules,
    records: RecordRules,
    target: date,
    counts: RecordCounts,
) -> None:
    first = target - timedelta(days=records.days - 1)
    own = DayReader(connection, load_views(connection, [code])[code], rules.zone)
    begin, end = own.end(first - _DAY), own.end(target)
    near = read_neighbours(connection, unit_id, end, records.neighbours)
    found = load_views(connection, near)
    views = [own.view, *(found[name] for name in near)]
    compared, series = _by_series(connection, views, begin, end, records.sure)
    moved = _by_loss(own, [DayReader(connection, view, rules.zone) for view in views[1:]], first, target)
    doubts = with_repair(compared.doubts, moved)
    basis = {
        "from": begin.isoformat(),
        "to": end.isoformat(),
        "areas": [view.unit for view in views],
        "series": series,
        "models": {"association": association.VERSION, "association_energy": association_energy.VERSION},
        "parameters": {"sure": records.sure, "days": records.days, "neighbours": records.neighbours},
    }
    told = sorted({*compared.meters, *(doubt.meter for doubt in doubts)})
    # A meter that is doubted by phase alone hangs on the recorded area.
    elsewhere = [(d.meter, d.area, d.confidence) for d in doubts if d.area != code]
    # What takes long is done: a transaction that stands idle over it would be ended by the server.
    with connection.transaction():
        begin_association(connection)
        if not advance_association(connection, unit_id, target, len(compared.meters), len(doubts)):
            return  # another process was faster, and further on
        _keep(connection, own.view, doubts, (begin, end), rules, basis)
        write_measured(connection, told, elsewhere, end)
    counts.areas += 1
    counts.meters += len(compared.meters)
    counts.doubted += len(doubts)


def _by_series(
    connection: Connection, views: Sequence[UnitView], begin: datetime, end: datetime, sure: float
) -> tuple[Compared, str | None]:
    """What voltages and energies say of the first area's meters, and the name of the series."""
    interval_s = read_interval_s(connection, views[0].unit_id, begin, end)
    if interval_s is None:
        return Compared((), ()), None
    given = (read_quantities(connection, v.unit_id, v.size, begin, end, interval_s) for v in views)
    near = make_neighbourhood(list(zip(views, given, strict=True)), round(end.timestamp()) * 1_000_000, interval_s)
    if near is None:
        return Compared((), ()), None
    return compare(near, interval_s, sure), near.digest()


def _by_loss(own: DayReader, others: Sequence[DayReader], first: date, last: date) -> dict[str, tuple[str, Repair]]:
    """Meters of an area, or that it lacks, that mend it and a neighbour; by meter the area where it belongs.

    Of the area's own meters alone: those of the neighbour are said when it is the neighbour's turn.
    """
    ours = _sign(own, first, last)
    if ours == 0:
        return {}
    moved: dict[str, tuple[str, Repair]] = {}
    for other in others:
        if _sign(other, first, last) != -ours:
            continue
        repair = _repair(own, other, first, last)
        if repair is None or not is_mended(repair):
            continue
        for position in repair.to_second:
            meter = _meter_at(own.view, position, own.end_us(last))
            if meter is not None:
                moved[meter] = (other.view.unit, repair)
    return moved


def _sign(reader: DayReader, first: date, last: date) -> int:
    """1 where the unexplained loss of some days together is high, −1 where it is negative, 0 where it is usual."""
    if reader.view.kind is not UnitKind.AREA:
        return 0
    days = [d for d in read_days(reader.connection, reader.view.unit_id, first, last) if d.unexplained_wh is not None]
    if len(days) < LEAST_DAYS:
        return 0
    total_wh = sum(d.unexplained_wh or 0.0 for d in days)
    # What is systematic in a day's deviation is so in all of them.
    limit_wh = max(BAND * sum(d.sigma_wh for d in days), ABNORMAL_SHARE * sum(d.supply_wh for d in days), 1.0)
    return int(np.sign(total_wh)) if abs(total_wh) > limit_wh else 0


def _repair(own: DayReader, other: DayReader, first: date, last: date) -> Repair | None:
    """The moves that mend two areas, by positions of their rosters."""
    if max(own.view.size, other.view.size) > _MOST_METERS // 2:
        return None
    uses: list[list[NDArray[np.float64]]] = [[], []]
    losses: list[list[NDArray[np.float64]]] = [[], []]
    day, minutes = first, 0.0
    while day <= last:
        pair = (own.read(day), other.read(day))
        if pair[0].readings:  # a day without any has slots of a length that says nothing
            minutes = minutes or pair[0].minutes
        if all(one.minutes == minutes for one in pair):
            for n, one in enumerate(pair):
                energy_wh, loss_wh = fit_slots(one.energy_wh, one.unexplained_by_slot_wh, round(24 * 60 / minutes))
                uses[n].append(np.where(energy_wh == MISSING_WH, np.nan, energy_wh))
                losses[n].append(loss_wh)
        day += _DAY
    if not losses[0]:
        return None
    loss = [np.concatenate(parts) for parts in losses]
    if not (np.isfinite(loss[0]) & np.isfinite(loss[1])).any():
        return None
    return paired_repair(loss[0], loss[1], np.concatenate(uses[0], axis=1), np.concatenate(uses[1], axis=1))


def _meter_at(view: UnitView, position: int, at_us: int) -> str | None:
    """The customer's meter that stands at a position."""
    for m in view.members:
        if m.position == position and m.valid_from_us < at_us <= m.valid_to_us and m.role & int(Role.CUSTOMER):
            return m.meter
    return None


def _keep(
    connection: Connection,
    view: UnitView,
    doubts: Sequence[Doubt],
    window: tuple[datetime, datetime],
    rules: UsageRules,
    basis: Mapping[str, object],
) -> None:
    """Bring the findings of an area's records up to date, and tell alerts."""
    held = {one.meter: one for one in read_held_records(connection, view.unit_id)}
    told: dict[int, Finding] = {}
    begin, end = window
    for doubt in doubts:
        known = held.pop(doubt.meter, None)
        values = FindingValues(
            confidence=doubt.confidence,
            begin_at=begin,
            opened_at=end if known is None else known.opened_at,
            seen_at=end,
            ended_at=None,
            expected_wh=0,
            expected_money=None,
            reasons=doubt.reasons,
            evidence={**basis, **doubt.evidence},
        )
        if known is None:
            number = add_finding(connection, view.unit_id, doubt.meter, UsageKind.WRONG_RECORD, "records", values)
        else:
            number = known.finding_id
            update_finding(connection, number, values)
        if doubt.confidence >= rules.told.min_confidence or (known is not None and known.alert_finding_id is not None):
            told[number] = finding_for_alerts(number, view.unit, doubt.meter, UsageKind.WRONG_RECORD, values)
    for gone in held.values():
        end_finding(connection, gone.finding_id, end)
        if gone.alert_finding_id is not None:
            told[gone.finding_id] = over_for_alerts(
                gone.finding_id, view.unit, gone.meter, gone.kind, gone.opened_at, end
            )
    add_findings(connection, told.values())
    link_alerts(connection, sorted(told))
