"""Compiles what a worker needs before the first message waits for it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from grid.area_network import NetworkPeriod
from grid.block import Block, decode_block, encode_block
from grid.limits import Limits
from grid.line_network import LineNetwork
from grid.memberships import Membership
from grid.model import UnitKind
from grid.point_table import KnownPoint, PointTable
from grid.points import Point, PointBatch, PointCause, PointKind, decode_points, encode_points
from grid.roster import BEGINNING_US, END_US, Parentage, UnitView
from grid.unit_energy import decode_unit_energies, encode_unit_energies
from store.block_writer import warm_writer
from streams.steps.contribution import Contribution, from_block, from_energies
from streams.steps.point_rows import arrange
from streams.steps.settle import Settled, settle
from streams.steps.stand_in import Window, stand_ins


def warm_steps() -> None:
    """Take one reading the whole way through, from Kafka's bytes to the store's and back, so that every kernel is
    compiled.

    Arrays that come out of Arrow are read-only, which is a type of its own to the compiler: made-up arrays won't do.
    """
    head = Membership(0, "warm", None, 1, 1, 1.0, BEGINNING_US, END_US)
    meter = Membership(1, "meter", None, 2, 1, 1.0, BEGINNING_US, END_US)
    # Its own gateway, so that the unit above is whole with it alone.
    child = Membership(0, None, 1, 5, 1, 1.0, BEGINNING_US, END_US)
    parent = Parentage(2, "above", BEGINNING_US, END_US)
    area = UnitView(1, "warm", UnitKind.AREA, (head, meter), (parent,), networks=(_area_lines(),))
    above = UnitView(2, "above", UnitKind.FEEDER, (child,), ())
    block = Block(
        unit="warm",
        gateway="warm",
        observed_at_us=900_000_000,
        interval_s=900,
        received_at_us=900_000_000,
        meters=pa.array(["warm", "meter"], pa.string()),
        sequence=np.ones(2, np.int64),
        channels={
            "import_wh": np.ones(2, np.int64),
            "export_wh": np.zeros(2, np.int64),
            "voltage_a_dv": np.full(2, 2300, np.int16),
        },
        quality=np.zeros(2, np.uint8),
    )
    _warm_points()
    settled = _settle([from_block(decode_block(encode_block(block)), area, "", b"")[0]])
    # Later it would be compiled in the first batch, which holds up whoever waits for this worker's partitions.
    warm_writer(settled.rows, settled.balances)
    for energies in settled.energies:
        _settle(from_energies(decode_unit_energies(encode_unit_energies([energies]))[0], above), _line())


def _area_lines() -> NetworkPeriod:
    """A low-voltage line to the one meter."""
    ohms = np.array([0.0, 0.1])
    return NetworkPeriod(np.array([-1, 0]), ohms, ohms, ohms, ohms, {"meter": 1}, BEGINNING_US, END_US)


def _line() -> LineNetwork:
    """A line with a transformer."""
    one = np.ones(1)
    ends = (np.zeros(1, np.int64), np.ones(1, np.int64))
    return LineNetwork(*ends, one, one, 2, 10_000.0, {1: 1}, {1: 1e5}, {1: 1.0}, {1: 1.0}, BEGINNING_US, END_US)


def _warm_points() -> None:
    point = Point("warm", "warm", PointKind.ACTIVE_POWER, "W", meter="warm")
    table = PointTable([KnownPoint(1, 1, "warm", point)])
    batch = PointBatch(
        unit="warm",
        gateway="warm",
        received_at_us=900_000_000,
        sequence=1,
        cause=PointCause.CYCLIC,
        digest=1,
        codes=pa.array(["warm"], pa.string()),
        observed_at_us=np.array([900_000_000]),
        value=np.ones(1),
        quality=np.zeros(1, np.uint8),
    )
    arranged = arrange([decode_points(encode_points(batch))], table)
    stand_ins([Window(0, 960_000_000, 60)], {1: arranged.reports}, table)


def _settle(contributions: list[Contribution], line: LineNetwork | None = None) -> Settled:
    lines = {} if line is None else {c.key: line for c in contributions}
    return settle(contributions, {}, Limits(), lines=lines)
