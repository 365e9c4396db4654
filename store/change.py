"""What explaining a change of loss needs: results of a unit, its recorded changes, energies of members. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.membership import MemberPeriod
from grid.recorded_change import ClassChange, Replacement
from store.connection import ArrayLoader, Connection
from store.sql import load_queries

_SQL = load_queries("change")

#: Per step of `MemberFactor`: an interval's end, microseconds since 1970 → a figure of it.
OfSteps = dict[int, dict[int, float]]


@dataclass(frozen=True, slots=True)
class UnitRow:
    """A unit by its code."""

    unit_id: int
    code: str
    kind: str
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class ResultArrays:
    """Stored results of one unit, of intervals of all lengths, in the order of time; arrays of shape (rows,).

    `technical_wh` and `technical_sigma_wh` are NaN where not known; `computable` and `provisional` are 0 or 1. For the
    others see docs/reference/database.md.
    """

    observed_us: NDArray[np.int64]
    interval_s: NDArray[np.int64]
    computable: NDArray[np.int64]
    inflow_wh: NDArray[np.int64]
    outflow_wh: NDArray[np.int64]
    loss_wh: NDArray[np.int64]
    members_loss_wh: NDArray[np.int64]
    generation_wh: NDArray[np.int64]
    estimated_wh: NDArray[np.int64]
    reasons: NDArray[np.int64]
    provisional: NDArray[np.int64]
    technical_wh: NDArray[np.float64]
    technical_sigma_wh: NDArray[np.float64]
    sigma_wh: NDArray[np.float64]
    systematic_sigma_wh: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.observed_us)


@dataclass(frozen=True, slots=True)
class TreePart:
    """A unit below another over [valid_from, valid_to), within the span that was asked for.

    `own_from` and `own_to` are the ends of its membership in the unit just above it; None = without.
    """

    unit_id: int
    code: str
    kind: str
    valid_from: datetime
    valid_to: datetime
    own_from: datetime | None
    own_to: datetime | None


@dataclass(frozen=True, slots=True)
class MemberFactor:
    """How a member's net import enters a step's signals: a meter or a smaller unit, times a factor."""

    step: int
    meter: str | None
    child_id: int | None
    factor: float
    late_factor: float


#: Least and greatest length of the intervals that are looked at, s: days differ by an hour.
Lengths = tuple[int, int]
_Span = tuple[datetime, datetime]


def start_reading(connection: Connection) -> None:
    """Make the transaction one snapshot that changes nothing."""
    connection.execute("set transaction isolation level repeatable read, read only")


def read_unit(connection: Connection, code: str) -> UnitRow | None:
    """The unit with this code; None where there is none."""
    row = connection.execute(_SQL["unit"], {"code": code}).fetchone()
    return None if row is None else UnitRow(row[0], code, row[1], row[2])


def read_results(connection: Connection, unit_id: int, span: _Span) -> ResultArrays:
    """Results of a unit's intervals that end within a span."""
    arguments = {"unit_id": unit_id, "begin": span[0], "end": span[1]}
    with connection.cursor(binary=True) as cursor:
        cursor.adapters.register_loader(cursor.adapters.types["float8"].array_oid, ArrayLoader)
        row = cursor.execute(_SQL["results"], arguments).fetchone()
    if row is None or row[0] is None:
        return no_results()
    return ResultArrays(*row)


def no_results() -> ResultArrays:
    """Results of no interval."""
    arrays: list[NDArray[Any]] = [np.empty(0, np.int64)] * 11 + [np.empty(0, np.float64)] * 4
    return ResultArrays(*arrays)


def read_memberships(connection: Connection, unit_id: int, span: _Span) -> tuple[list[MemberPeriod], dict[int, str]]:
    """Memberships of a unit that hold at any time of a span, and the codes of the smaller units among them by id."""
    periods, codes = [], {}
    arguments = {"unit_id": unit_id, "begin": span[0], "end": span[1]}
    for position, meter, child_id, child, role, multiplier, start, end in connection.execute(
        _SQL["memberships"], arguments
    ):
        periods.append(MemberPeriod(unit_id, "", position, role, multiplier, start, end, meter, child_id))
        if child_id is not None:
            codes[child_id] = child
    return periods, codes


def read_meter_changes(
    connection: Connection, unit_id: int, span: _Span
) -> tuple[list[Replacement], list[ClassChange]]:
    """Replacements and changes of class of a unit's meters within a span."""
    arguments = {"unit_id": unit_id, "begin": span[0], "end": span[1]}
    replacements = [Replacement(*row) for row in connection.execute(_SQL["replacements"], arguments)]
    return replacements, [ClassChange(*row) for row in connection.execute(_SQL["classes"], arguments)]


def read_energies(
    connection: Connection, factors: Sequence[MemberFactor], lengths_s: Lengths, span: _Span
) -> tuple[OfSteps, OfSteps]:
    """Signals of each step and of its late record, Wh: net imports of its members times their factors.

    A member is read in whichever unit it stood at that time. Intervals in which none of them is there are left out.
    """
    step_wh: OfSteps = {f.step: {} for f in factors}
    late_wh: OfSteps = {f.step: {} for f in factors}
    if factors:
        arguments: dict[str, object] = {
            "steps": [f.step for f in factors],
            "meters": [f.meter for f in factors],
            "children": [f.child_id for f in factors],
            "factors": [f.factor for f in factors],
            "late_factors": [f.late_factor for f in factors],
        }
        arguments |= _window(lengths_s, span)
        for step, observed_us, of_step, of_late in connection.execute(_SQL["energies"], arguments):
            step_wh[step][observed_us] = of_step
            late_wh[step][observed_us] = of_late
    return step_wh, late_wh


def read_tree(connection: Connection, unit_id: int, span: _Span) -> list[TreePart]:
    """All units below a unit at any time of a span, level by level; one that goes and comes again stands twice."""
    arguments = {"unit_id": unit_id, "begin": span[0], "end": span[1]}
    return [TreePart(*row) for row in connection.execute(_SQL["tree"], arguments)]


def read_tree_technical(
    connection: Connection, unit_ids: Sequence[int], lengths_s: Lengths, span: _Span
) -> dict[int, tuple[float, float, float, float]]:
    """Technical loss of some units together, its deviation, and those of their losses, Wh, by the ends of intervals.

    Technical loss is NaN where that of any is not known. Deviations are added as those of independent errors.
    """
    found = {}
    for at_us, technical, deviation, known, sigma, systematic in connection.execute(
        _SQL["tree_technical"], _window(lengths_s, span) | {"unit_ids": list(unit_ids)}
    ):
        is_known = known == len(unit_ids)
        found[at_us] = (technical, deviation, sigma, systematic) if is_known else (np.nan, np.nan, sigma, systematic)
    return found


def read_tree_losses(
    connection: Connection, unit_ids: Sequence[int], lengths_s: Lengths, span: _Span
) -> list[tuple[int, int, int, int]]:
    """Own losses of some units: unit, end of the interval in microseconds since 1970, its length in s, Wh."""
    arguments = _window(lengths_s, span) | {"unit_ids": list(unit_ids)}
    return connection.execute(_SQL["tree_losses"], arguments).fetchall()


def _window(lengths_s: Lengths, span: _Span) -> dict[str, object]:
    return {"shortest_s": lengths_s[0], "longest_s": lengths_s[1], "begin": span[0], "end": span[1]}


def read_returned(connection: Connection, unit_id: int, lengths_s: Lengths, span: _Span) -> dict[int, int]:
    """What a unit gave back through its gateways, Wh, by the interval's end in microseconds since 1970."""
    arguments = _window(lengths_s, span) | {"unit_id": unit_id}
    return dict(connection.execute(_SQL["returned"], arguments).fetchall())
