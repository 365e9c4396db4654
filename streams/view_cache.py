"""What a worker holds of the grid model: views of the units it meets, bounded."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime

from grid.roster import UnitView
from store.connection import Connection
from store.views import load_views

#: Bytes of all views that a cache holds, about: a million meters and the lines between them.
MAX_BYTES = 250_000_000
#: About what one takes: a member with its names, a place in the roster of an interval, a node of a network, a parent;
#: and a unit and a roster however small they are.
_MEMBER_BYTES, _PLACE_BYTES, _NODE_BYTES, _PARENT_BYTES = 80, 75, 140, 150
_UNIT_BYTES, _ROSTER_BYTES = 2_000, 1_300
#: Units that are read from the store at a time: what is read takes several times what is kept of it, until it is kept.
_PIECE = 64


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """State of a cache.

    Attributes
    ----------
    units, members
        Held now, with all their past.
    hits, misses
        Units asked for since the start that were held, and that were not.
    """

    units: int
    members: int
    hits: int
    misses: int


class ViewCache:
    """Views of units by code, filled on demand; bounded, and emptied of a unit when its model changes.

    Several threads ask for views and drop them. Each of a worker's processors drops what has changed since it looked
    last; that another has done so already does no harm.

    Parameters
    ----------
    max_bytes
        That the views take at most, about.
    known_at
        The model as it was believed then; None = as it is believed now.
    """

    def __init__(self, max_bytes: int = MAX_BYTES, known_at: datetime | None = None) -> None:
        self._max_bytes = max_bytes
        self.known_at = known_at
        self._views: dict[str, UnitView] = {}
        # As of when the view was asked for last: it grows with the times that it is asked about.
        self._bytes_of: dict[str, int] = {}
        self._bytes = 0
        self._drops = 0
        self._lock = threading.Lock()
        self._hits = 0
        self._misses = 0

    @property
    def frozen(self) -> bool:
        """Whether it holds the model of one time of belief, which no change concerns."""
        return self.known_at is not None

    def get(self, connection: Connection, codes: set[str]) -> dict[str, UnitView]:
        """Views of the codes that the store knows."""
        with self._lock:
            # Those in use come last, and the first are given up first.
            found = {code: self._views.pop(code) for code in codes if code in self._views}
            self._keep(found)
            drops = self._drops
            self._hits += len(found)
            self._misses += len(codes) - len(found)
        wanted = [code for code in codes if code not in found]
        if wanted:
            loaded: dict[str, UnitView] = {}
            for begin in range(0, len(wanted), _PIECE):
                loaded |= load_views(connection, wanted[begin : begin + _PIECE], self.known_at)
            found |= loaded
            with self._lock:
                # When anything changed meanwhile, what was read may be from before: it serves this once.
                if drops == self._drops:
                    self._keep(loaded)
        return found

    def drop(self, code: str) -> None:
        """Forget one unit, so that the next batch loads it anew."""
        with self._lock:
            self._drops += 1
            self._forget(code)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._drops += 1
            self._views.clear()
            self._bytes_of.clear()
            self._bytes = 0

    def figures(self) -> CacheFigures:
        """How full it is and how often it served."""
        with self._lock:
            members = sum(len(view.members) for view in self._views.values())
            return CacheFigures(len(self._views), members, self._hits, self._misses)

    def _keep(self, views: dict[str, UnitView]) -> None:
        """Keep views as those that were used last; the ones that weren't used for longest make room."""
        self._views |= views
        for code, view in views.items():
            size = _bytes(view)
            self._bytes += size - self._bytes_of.get(code, 0)
            self._bytes_of[code] = size
        while self._bytes > self._max_bytes:
            self._forget(next(iter(self._views)))

    def _forget(self, code: str) -> None:
        self._views.pop(code, None)
        self._bytes -= self._bytes_of.pop(code, 0)


def _bytes(view: UnitView) -> int:
    nodes = sum(len(network.parent) for network in view.networks)
    return (
        _UNIT_BYTES
        + len(view.members) * _MEMBER_BYTES
        + view.rosters * (_ROSTER_BYTES + view.size * _PLACE_BYTES)
        + nodes * _NODE_BYTES
        + len(view.parents) * _PARENT_BYTES
    )
