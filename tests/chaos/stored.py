"""What the store holds, as the checks compare it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from store.blocks import read_blocks
from store.connection import Connection
from tests.chaos.recompute import Figures, Key, Values

_CHUNK = 2_000
#: What the twin's gateways send, in the order of `tests.chaos.recompute.Values`.
_SENT = ("export_wh", "import_wh", "voltage_a_dv")


def results(connection: Connection) -> dict[tuple[str, int], Figures]:
    """Settled figures by unit and end of the interval."""
    rows = connection.execute(
        "select code, (extract(epoch from observed_at) * 1000000)::bigint, inflow_wh, outflow_wh, loss_wh,"
        " members_loss_wh, computable from loss.balance join grid.unit using (unit_id)"
    )
    return {(code, at): Figures(*figures) for code, at, *figures in rows}


def versions(connection: Connection) -> dict[tuple[int, int], tuple[int, Any]]:
    """Version and time of writing of every stored block."""
    rows = connection.execute(
        "select unit_id, (extract(epoch from observed_at) * 1000000)::bigint, version, recorded_at from telemetry.block"
    )
    return {(unit, at): (version, recorded_at) for unit, at, version, recorded_at in rows}


def values_stored(connection: Connection, keys: list[Key]) -> dict[Key, Values]:
    """Values of the units' own meters, in the order of their places in the roster; keys without a row are left out."""
    ids: dict[str, int] = dict(connection.execute("select code, unit_id from grid.unit").fetchall())
    places: dict[str, list[int]] = defaultdict(list)
    for code, place in connection.execute(
        "select code, position from grid.member join grid.unit using (unit_id)"
        " where meter is not null and upper_inf(recorded) and upper_inf(valid) order by position"
    ):
        places[code].append(place)
    found: dict[Key, Values] = {}
    for first in range(0, len(keys), _CHUNK):
        key_of = {(ids[key[0]], *key[1:]): key for key in keys[first:][:_CHUNK]}
        for row, block in read_blocks(connection, list(key_of)).items():
            of_meters = np.array(places[key_of[row][0]])
            columns = [*(block.channels[name] for name in _SENT if name in block.channels), block.quality]
            found[key_of[row]] = tuple(column[of_meters[of_meters < len(column)]].tobytes() for column in columns)
    return found
