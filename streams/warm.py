"""Compiles what a worker needs before the first message waits for it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from grid.block import Block, decode_block, encode_block
from grid.limits import Limits
from grid.model import UnitKind
from grid.roster import BEGINNING_US, END_US, Membership, Parentage, UnitView
from grid.unit_energy import decode_unit_energies, encode_unit_energies
from streams.steps.contribution import Contribution, from_block, from_energies
from streams.steps.settle import Settled, settle


def warm_steps() -> None:
    """Take one reading the whole way through the steps, from Kafka's bytes and back, so that every kernel is compiled.

    Arrays that come out of Arrow are read-only, which is a type of its own to the compiler: made-up arrays won't do.
    """
    meter = Membership(0, "warm", None, 3, 1, 1.0, BEGINNING_US, END_US)
    child = Membership(0, None, 1, 4, 1, 1.0, BEGINNING_US, END_US)
    area = UnitView(1, "warm", UnitKind.DEDICATED, (meter,), (Parentage(2, "above", BEGINNING_US, END_US),))
    above = UnitView(2, "above", UnitKind.FEEDER, (child,), ())
    block = Block(
        unit="warm",
        gateway="warm",
        observed_at_us=900_000_000,
        interval_s=900,
        received_at_us=900_000_000,
        meters=pa.array(["warm"], pa.string()),
        sequence=np.ones(1, np.int64),
        channels={
            "import_wh": np.ones(1, np.int64),
            "export_wh": np.zeros(1, np.int64),
            "voltage_a_dv": np.full(1, 2300, np.int16),
        },
        quality=np.zeros(1, np.uint8),
    )
    settled = _settle([from_block(decode_block(encode_block(block)), area, "", b"")[0]])
    for energies in settled.energies:
        _settle(from_energies(decode_unit_energies(encode_unit_energies(energies)), above))


def _settle(contributions: list[Contribution]) -> Settled:
    return settle(contributions, {}, Limits())
