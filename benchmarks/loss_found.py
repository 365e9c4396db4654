"""What settling one draw of the meters has found, and files that keep it, so that an interrupted run goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.loss_score import Classed, Periods
from grid.model import UnitKind


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Of one kind of unit and one span, one draw of the meters; arrays of shape (periods, units).

    Attributes
    ----------
    naive_sigma_wh
        The naive band's.
    by_meters_wh
        σ where classes are added up meter by meter, which the stated σ of intervals can't be made into.
    drawn_wh
        Errors of many draws of classes alone, of shape (draws, periods, units); none for intervals.
    """

    kind: UnitKind
    span: str
    periods: Periods
    classed: Classed
    naive_sigma_wh: NDArray[np.float64]
    by_meters_wh: NDArray[np.float64]
    drawn_wh: NDArray[np.float64]


_OWN = ("naive_sigma_wh", "by_meters_wh", "drawn_wh")
_PERIODS = tuple(field.name for field in fields(Periods))
_CLASSED = tuple(field.name for field in fields(Classed))


def keep(path: Path, found: Sequence[Found]) -> None:
    """Write what one draw came to; the file is there wholly or not at all."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for f in found:
        name = f"{f.kind.value}/{f.span}"
        arrays |= {f"{name}/{n}": getattr(f.periods, n) for n in _PERIODS}
        arrays |= {f"{name}/{n}": getattr(f.classed, n) for n in _CLASSED}
        arrays |= {f"{name}/{n}": getattr(f, n) for n in _OWN}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    part.replace(path)


def kept(path: Path) -> list[Found] | None:
    """What was kept; None where nothing was."""
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    names = dict.fromkeys(key.rsplit("/", 1)[0] for key in arrays)

    def some(name: str, wanted: Sequence[str]) -> dict[str, NDArray[np.generic]]:
        return {n: arrays[f"{name}/{n}"] for n in wanted}

    return [
        Found(
            UnitKind(name.split("/")[0]),
            name.split("/")[1],
            Periods(**some(name, _PERIODS)),  # type: ignore[arg-type]  # the file says what they are
            Classed(**some(name, _CLASSED)),  # type: ignore[arg-type]
            **some(name, _OWN),  # type: ignore[arg-type]
        )
        for name in names
    ]
