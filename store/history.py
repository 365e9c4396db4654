"""Energies of the past, as estimates of missing ones need them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grid.history import Past
from grid.quality import Quality
from store.blocks import Key, bounded
from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("history")
#: Where the import and its register lie among the channels of a row (`grid.channels.VOTING`), which has both energies.
_IMPORT, _REGISTER = 0, 2


def read_history(connection: Connection, keys: Sequence[Key]) -> dict[Key, Past]:
    """What stored rows say of energies, by key; keys without a row are left out."""
    if not keys:
        return {}
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(_SQL["read"], bounded(keys)).fetchall()
    return {keys[row[0] - 1]: _past(*row[1:]) for row in rows}


def _past(
    precedence: NDArray[np.int64],
    received_us: NDArray[np.int64],
    import_wh: NDArray[np.int64],
    export_wh: NDArray[np.int64],
    register_wh: NDArray[np.int64] | None,
    packed_quality: bytes,
) -> Past:
    quality = np.frombuffer(packed_quality, np.uint8)
    size = len(quality)
    if len(received_us) in (1, size):  # one number stands for all channels: see store.precedence
        known_us = register_us = np.broadcast_to(received_us, (size,))
        of_import = np.broadcast_to(precedence, (size,))
    else:
        by_channel = received_us.reshape(-1, size)
        derived = quality & np.uint8(Quality.DERIVED) != 0
        known_us = np.where(derived, by_channel.max(axis=0), by_channel[_IMPORT])
        register_us = by_channel[min(_REGISTER, len(by_channel) - 1)]
        of_import = precedence.reshape(-1, size)[_IMPORT]
    has_register = register_wh is not None
    return Past(import_wh, export_wh, quality, of_import, known_us, register_wh, register_us if has_register else None)
