"""What a unit's members moved on other days, for estimates of one from the others; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from grid.history import Past
from streams.steps.contribution import Key
from streams.steps.gap import Gap


def on_other_days(
    gap: Gap,
    days: Sequence[Sequence[int]],
    past: Mapping[Key, Past],
    value: Callable[[Past], NDArray[np.float64] | NDArray[np.int64]],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """A value of all members in the rows that there are, (rows, members), and each row's day, (rows,).

    NaN where it wasn't measured and known by the gap's limit, or is doubted.

    Parameters
    ----------
    days
        Ends of intervals, by day.
    value
        Of each position of a row; may be NaN.
    """
    rows, of_day = [np.empty((0, len(gap.roster)))], []
    for day, ends_us in enumerate(days):
        for end_us in ends_us:
            held = past.get((gap.view.unit_id, end_us, gap.interval_s))
            if held is None:
                continue
            there, doubted = held.measured(gap.at_us), held.doubted(gap.at_us)
            if doubted is not None:
                there &= ~doubted
            row = np.full((1, len(gap.roster)), np.nan)
            known = np.where(there, value(held), np.nan)[: row.shape[1]]
            row[0, : len(known)] = known
            rows.append(row)
            of_day.append(day)
    return np.concatenate(rows), np.array(of_day, np.int64)
