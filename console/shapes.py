"""From rows to what a picture is drawn of, the same for the page, the report and the terminal. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from console.asking import Answer, Value

#: A line is broken where nothing came for this many steps, and for at least half an hour: what stopped looks stopped.
GAP_STEPS: Final = 3
GAP_S: Final = 1_800.0


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines over common times.

    Parameters
    ----------
    times_s
        Seconds since 1970, rising, shape (points,).
    names
        Of the lines: a column's, or a value of the column `metric`.
    values
        Shape (lines, points); NaN where a line has no value.
    """

    times_s: NDArray[np.float64]
    names: tuple[str, ...]
    values: NDArray[np.float64]


def lines_of(answer: Answer, step_s: float) -> Lines:
    """Lines out of rows with a column `time`, and a column a line or one named `metric`.

    Raises
    ------
    ValueError
        When there is no column `time`.
    """
    if "time" not in answer.columns:
        raise ValueError("lines need a column named time")
    place = answer.columns.index("time")
    rows = [row for row in answer.rows if isinstance(row[place], datetime)]
    others = [i for i, name in enumerate(answer.columns) if name not in {"time", "metric"}]
    at = np.array([row[place].timestamp() for row in rows], np.float64)  # type: ignore[union-attr]  # checked above
    times, where = np.unique(at, return_inverse=True)
    if "metric" in answer.columns:
        metric = answer.columns.index("metric")
        labels = [str(row[metric]) for row in rows]
        names = sorted(set(labels))
        line = np.array([names.index(label) for label in labels], np.intp)
        values = np.full((len(names), len(times)), np.nan)
        values[line, where] = [_number(row[others[0]]) for row in rows]
    else:
        names = [answer.columns[i] for i in others]
        values = np.full((len(names), len(times)), np.nan)
        for number, i in enumerate(others):
            values[number, where] = [_number(row[i]) for row in rows]
    return _broken(Lines(times, tuple(names), values), max(GAP_S, GAP_STEPS * step_s))


def _broken(lines: Lines, gap_s: float) -> Lines:
    """A point without values inside each gap."""
    times = lines.times_s
    after = np.flatnonzero(np.diff(times) > gap_s)
    if not after.size:
        return lines
    middle = (times[after] + times[after + 1]) / 2
    values = np.insert(lines.values, after + 1, np.nan, axis=1)
    return Lines(np.insert(times, after + 1, middle), lines.names, values)


def numbers(values: Iterable[Value]) -> NDArray[np.float64]:
    """The values as numbers; NaN where there is none."""
    return np.array([_number(value) for value in values], np.float64)


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


@dataclass(frozen=True, slots=True)
class Plan:
    """Places on a plane: `x` and `y` from 0 to 1, y downwards; `width` to `height` is the plane's own proportion."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    width: float
    height: float


def plane(longitudes_deg: Iterable[Value], latitudes_deg: Iterable[Value]) -> Plan:
    """Places on the earth on a plane: equirectangular about their own middle, true to scale over a city.

    Parameters
    ----------
    longitudes_deg, latitudes_deg
        Shape (places,). A place without both stands in the middle of the others.
    """
    longitude, latitude = numbers(longitudes_deg), numbers(latitudes_deg)
    is_known = np.isfinite(longitude) & np.isfinite(latitude)
    if not is_known.any():
        return Plan((0.5,) * len(longitude), (0.5,) * len(longitude), 1.0, 1.0)
    longitude = np.where(is_known, longitude, longitude[is_known].mean())
    latitude = np.where(is_known, latitude, latitude[is_known].mean())
    east = longitude * math.cos(math.radians(float(latitude.mean())))
    width, height = max(float(np.ptp(east)), 1e-6), max(float(np.ptp(latitude)), 1e-6)
    x = (east - east.min()) / width
    y = (latitude.max() - latitude) / height
    return Plan(tuple(x.tolist()), tuple(y.tolist()), width, height)


def tree(ids: Sequence[str], edges: Sequence[tuple[str, str]]) -> Plan:
    """Nodes of a network as a tree that grows to the right: a node's column is its distance from the source.

    Each part of the network that hangs together starts at the first of its nodes. The longest way from there runs
    straight along the top, and what branches off stands below; an edge that closes a loop is only drawn across.
    `width` is the number of columns, `height` that of lines.

    Parameters
    ----------
    ids
        Of the nodes, each once; sources first.
    edges
        From, to, in either direction; an end that is no node is left out.
    """
    near: dict[str, list[str]] = {each: [] for each in ids}
    for source, target in edges:
        if source in near and target in near and source != target:
            near[source].append(target)
            near[target].append(source)
    column: dict[str, int] = {}
    line: dict[str, int] = {}
    taken: list[list[tuple[int, int]]] = []
    for root in ids:
        if root in column:
            continue
        children = _children(root, near, column)
        branches = [(root, len(taken))]
        for start, least in branches:
            way = [start]
            while children[way[-1]]:
                way.append(children[way[-1]][0])
            here = _free_line(taken, least, column[start], column[way[-1]])
            for node in way:
                line[node] = here
                branches.extend((other, here + 1) for other in children[node][1:])
    columns, lines = max(column.values(), default=0) + 1, max(1, len(taken))
    x = tuple(column[each] / max(1, columns - 1) for each in ids)
    y = tuple((line[each] + 0.5) / lines for each in ids)
    return Plan(x, y, float(columns), float(lines))


def _free_line(taken: list[list[tuple[int, int]]], least: int, first: int, last: int) -> int:
    """The first line from `least` on with room from column `first` to `last`, which it takes."""
    for number in range(least, len(taken) + 1):
        if number == len(taken):
            taken.append([])
        if all(last < start or end < first for start, end in taken[number]):
            taken[number].append((first, last))
            return number
    raise AssertionError("a new line has room")


def _children(root: str, near: dict[str, list[str]], column: dict[str, int]) -> dict[str, list[str]]:
    """Children breadth first from `root`, the one with the deepest branch first; writes distances into `column`."""
    children: dict[str, list[str]] = {root: []}
    column[root] = 0
    order = [root]
    for node in order:
        for other in near[node]:
            if other not in column:
                column[other] = column[node] + 1
                children[node].append(other)
                children[other] = []
                order.append(other)
    depth: dict[str, int] = {}
    for node in reversed(order):
        children[node].sort(key=lambda child: -depth[child])
        depth[node] = 1 + max((depth[child] for child in children[node]), default=0)
    return children
