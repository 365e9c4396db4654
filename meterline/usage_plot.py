"""Draws the evidence of a meter as a PNG: its days against what was usual, what is left, and the area's loss."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from numpy.typing import NDArray

from grid.usage import FoldedDay
from streams.steps.usage_day import BAND

Floats = NDArray[np.float64]


def days_of_series(rows: Sequence[tuple[Any, ...]], zone: ZoneInfo) -> tuple[list[date], Floats]:
    """Local days and kWh of each, from rows of the audited function; NaN where less than half of a day is there.

    Of intervals of several lengths that lie in a day, those of the length that covers most of it are taken.
    """
    energy: dict[date, dict[int, tuple[float, int]]] = {}
    for row in rows:
        observed_at, interval_s, import_wh, export_wh = row[:4]
        day = (observed_at - timedelta(microseconds=1)).astimezone(zone).date()
        by_length = energy.setdefault(day, {})
        if import_wh is not None and interval_s <= 3_600:
            kwh, seconds = by_length.get(interval_s, (0.0, 0))
            by_length[interval_s] = (kwh + (import_wh - (export_wh or 0)) / 1_000, seconds + interval_s)
    days = sorted(energy)
    most = [max(energy[day].values(), key=itemgetter(1), default=(0.0, 0)) for day in days]
    return days, np.array([kwh if seconds > 43_200 else np.nan for kwh, seconds in most])


def baseline(days: Sequence[date], kwh: Floats, begin: date) -> Floats:
    """What was usual: the median of the days before the finding began, weekends by themselves; kWh a day."""
    weekend = np.array([day.weekday() >= 5 for day in days])
    before = np.array([day < begin for day in days])
    usual = np.full(len(days), np.nan)
    for kind in (False, True):
        known = kwh[before & (weekend == kind) & np.isfinite(kwh)]
        if len(known):
            usual[weekend == kind] = np.median(known)
    return usual


def draw(
    file: Path, title: str, series: tuple[Sequence[date], Floats], begin: datetime | None, area: Sequence[FoldedDay]
) -> None:
    """Write the picture."""
    days, kwh = series
    since = days[-1] if begin is None else begin.date()
    usual = baseline(days, kwh, since)
    figure = Figure(figsize=(10, 8), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    top.plot(_x(days), kwh, color="#1f5fa8", label="counted")
    top.plot(_x(days), usual, color="#888888", linestyle="--", label="usual before")
    top.set_ylabel("kWh a day")
    top.set_title(title)
    middle.bar(_x(days), kwh - usual, color="#b5432a", label="counted less usual")
    middle.axhline(0.0, color="black", linewidth=0.5)
    middle.set_ylabel("kWh a day")
    _area(bottom, area)
    for axes in (top, middle, bottom):
        if begin is not None:
            axes.axvline(_x([begin])[0], color="black", linewidth=0.8, linestyle=":")
        axes.legend(loc="upper left", frameon=False)
        axes.xaxis_date()
    figure.savefig(file, format="png", dpi=110)


def _area(axes: Any, area: Sequence[FoldedDay]) -> None:
    known = [day for day in area if day.unexplained_wh is not None]
    at = _x([day.day for day in known])
    loss = np.array([day.unexplained_wh or 0.0 for day in known]) / 1_000
    band = BAND * np.array([day.sigma_wh for day in known]) / 1_000
    axes.fill_between(at, loss - band, loss + band, color="#bbccdd", label="band")
    axes.plot(at, loss, color="#203040", label="unexplained loss of the area")
    abnormal = np.array([day.abnormal for day in known], bool)
    axes.plot(at[abnormal], loss[abnormal], "o", markersize=3, color="#b5432a", label="abnormal")
    axes.axhline(0.0, color="black", linewidth=0.5)
    axes.set_ylabel("kWh a day")


def _x(days: Sequence[date]) -> Floats:
    return np.asarray(date2num(days), np.float64)  # type: ignore[no-untyped-call]
