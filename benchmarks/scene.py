"""A made-up grid and its telemetry for the benchmarks, encoded before the clock runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.block import Block, encode_block
from grid.model import Account, Feeder, GridModel, Meter, Role, Substation, TransformerArea, UnitKind
from grid.points import Point, PointBatch, PointCause, PointKind, encode_points
from store.connection import Connection

METERS = 400
INTERVAL_S = 900

_OBSERVED_US = 1_111_111_111_111_111
_RECEIVED_US = 2_222_222_222_222_222
_DIGEST = 333_333_333_333_333_333
_RANDOM = np.random.default_rng(11)
#: Of an area's gateway meter, which is its first.
_MULTIPLIER = 40
#: More than anybody takes here.
_CONTRACT_W = 200_000


def make_model(areas: int, feeders: int, size: int = METERS) -> GridModel:
    """Areas A0, A1, … of `size` meters on feeders F0, F1, … in turn, each with a gateway meter and accounts."""
    of_areas, meters, accounts = [], [], []
    for a in range(areas):
        code = f"A{a}"
        of_areas.append(TransformerArea(code, code, UnitKind.AREA, "headend", f"F{a % feeders}"))
        meters.append(Meter(f"{code}-master", code, Role.GATEWAY, _MULTIPLIER, 0.5))
        customers = [f"{code}-{m}" for m in range(1, size)]
        meters += [Meter(customer, code, Role.CUSTOMER, account=customer) for customer in customers]
        accounts += [Account(customer, "residential", _CONTRACT_W) for customer in customers]
    codes = [f"F{f}" for f in range(feeders)]
    meters += [Meter(f"{code}-head", code, Role.GATEWAY, 60, 0.2) for code in codes]
    return GridModel(
        (Substation("S", "S", 110_000, 10_000),),
        tuple(Feeder(code, code, "S") for code in codes),
        tuple(of_areas),
        tuple(meters),
        tuple(accounts),
        dict.fromkeys(codes, "rtu"),
    )


def make_points(feeders: int, each: int) -> list[Point]:
    """Points F0-0, F0-1, … of each feeder: one power that stands in for its head's meter, and others."""
    points = []
    for f in range(feeders):
        unit = f"F{f}"
        points.append(Point(f"{unit}-0", unit, PointKind.ACTIVE_POWER, "kW", 1.0, 60, meter=f"{unit}-head"))
        for n in range(1, each):
            kind = (PointKind.CURRENT, PointKind.VOLTAGE, PointKind.REACTIVE_POWER, PointKind.ACTIVE_POWER)[n % 4]
            points.append(Point(f"{unit}-{n}", unit, kind, "kW" if kind is PointKind.ACTIVE_POWER else "", 1.0, 60))
    return points


def meters_of(model: GridModel) -> dict[str, pa.StringArray]:
    """Codes of each area's meters."""
    codes: dict[str, list[str]] = {area.code: [] for area in model.areas}
    for meter in model.meters:
        if meter.unit in codes:
            codes[meter.unit].append(meter.code)
    return {code: pa.array(meters, pa.string()) for code, meters in codes.items()}


def taken_wh(random: np.random.Generator, size: int) -> NDArray[np.int64]:
    """What an area's meters count in an interval: customers differently much, the gateway meter 3 % more than they."""
    wh = random.gamma(0.8, 120, size).astype(np.int64)
    wh[0] = round(1.03 * int(wh[1:].sum()) / _MULTIPLIER)
    return wh


def unit_ids(connection: Connection) -> dict[str, int]:
    """The store's numbers of all units."""
    return {code: number for number, code in connection.execute("select unit_id, code from grid.unit")}


class BlockTemplate:
    """A block of one area with three channels, of which only the times are filled in when it is sent."""

    def __init__(self, code: str, meters: pa.StringArray, interval_s: int = INTERVAL_S) -> None:
        block = Block(
            unit=code,
            gateway="headend",
            observed_at_us=_OBSERVED_US,
            interval_s=interval_s,
            received_at_us=_RECEIVED_US,
            meters=meters,
            sequence=np.ones(len(meters), np.int64),
            channels={
                "import_wh": taken_wh(_RANDOM, len(meters)),
                "export_wh": np.zeros(len(meters), np.int64),
                "voltage_a_dv": _RANDOM.normal(2300, 20, len(meters)).astype(np.int16),
            },
            quality=np.zeros(len(meters), np.uint8),
        )
        self._template = _Template(
            encode_block(block), {"observed": _text(_OBSERVED_US), "received": _text(_RECEIVED_US)}
        )

    def at(self, observed_at_us: int, received_at_us: int) -> bytes:
        """The block of the interval that ends at `observed_at_us`."""
        return self._template.filled({"observed": _text(observed_at_us), "received": _text(received_at_us)})


class PointsTemplate:
    """A message of points of one feeder, all seen at one instant, which is filled in when it is sent."""

    def __init__(self, unit: str, numbers: range, cause: PointCause) -> None:
        self._points = len(numbers)
        batch = PointBatch(
            unit=unit,
            gateway="rtu",
            received_at_us=_RECEIVED_US,
            sequence=1,
            cause=cause,
            digest=_DIGEST,
            codes=pa.array([f"{unit}-{n}" for n in numbers], pa.string()),
            observed_at_us=np.full(len(numbers), _OBSERVED_US),
            value=_RANDOM.normal(500, 50, len(numbers)),
            quality=np.zeros(len(numbers), np.uint8),
        )
        observed = batch.observed_at_us.tobytes()
        self._template = _Template(
            encode_points(batch), {"observed": observed, "received": _text(_RECEIVED_US), "digest": _text(_DIGEST)}
        )

    def __len__(self) -> int:
        return self._points

    def at(self, observed_at_us: int, received_at_us: int, digest: int) -> bytes:
        """The message of that instant; `digest` has 18 digits."""
        observed = observed_at_us.to_bytes(8, "little") * self._points
        return self._template.filled({"observed": observed, "received": _text(received_at_us), "digest": _text(digest)})


class _Template:
    def __init__(self, data: bytes, marks: Mapping[str, bytes]) -> None:
        self._data = data
        self._places: dict[str, slice] = {}
        for name, mark in marks.items():
            assert data.count(mark) == 1, f"{name} isn't found once"
            at = data.index(mark)
            self._places[name] = slice(at, at + len(mark))

    def filled(self, texts: Mapping[str, bytes]) -> bytes:
        data = bytearray(self._data)
        for name, text in texts.items():
            place = self._places[name]
            assert place.stop - place.start == len(text), f"{name} has another length"
            data[place] = text
        return bytes(data)


def _text(number: int) -> bytes:
    return str(number).encode()


def whole_intervals_us(interval_s: int) -> int:
    """The latest end of an interval, microseconds since 1970 UTC."""
    return int(datetime.now(UTC).timestamp()) // interval_s * interval_s * 1_000_000
