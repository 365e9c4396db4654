"""Reads SCADA points from a file."""

from __future__ import annotations

from pathlib import Path

import msgspec

from grid.points import Point, PointKind

_MAX_BYTES = 256 << 20


class PointsFileError(RuntimeError):
    """The file can't be used; the message says why."""


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    code: str
    unit: str
    kind: PointKind
    unit_of_measure: str = ""
    dead_band: float = 0.0
    cycle_s: int = 60
    sign: int = 1
    meter: str | None = None
    switch: str | None = None


def read_points(path: Path) -> list[Point]:
    """Points from a JSON list of objects with the fields of `grid.points.Point`.

    Raises
    ------
    PointsFileError
        When the file can't be read, a field is wrong, or a code stands there twice.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise PointsFileError(f"{path} is larger than {_MAX_BYTES >> 20} MiB")
        rows = msgspec.json.decode(path.read_bytes(), type=list[_Row])
        points = [Point(**{name: getattr(row, name) for name in row.__struct_fields__}) for row in rows]
    except OSError as error:
        raise PointsFileError(f"can't read {path}: {error.strerror}") from None
    except ValueError as error:  # of the file's form, or a point's own
        raise PointsFileError(f"{path}: {error}") from None
    seen: set[str] = set()
    for point in points:
        if point.code in seen:
            raise PointsFileError(f"{path}: point {point.code} stands there twice")
        seen.add(point.code)
    return points
