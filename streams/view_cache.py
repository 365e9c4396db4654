"""What a worker holds of the grid model: views of the units it meets, bounded."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime

from grid.roster import UnitView
from store.connection import Connection
from store.views import load_views

#: Members of all units that a cache holds; some 300 bytes each.
MAX_MEMBERS = 2_000_000


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """State of a cache.

    Attributes
    ----------
    units, members
        Held now.
    hits, misses
        Units asked for since the start that were held, and that were not.
    """

    units: int
    members: int
    hits: int
    misses: int


class ViewCache:
    """Views of units by code, filled on demand; bounded, and emptied of a unit when its model changes.

    One thread asks for views while another drops them.

    Parameters
    ----------
    max_members
        Members of all units that are held at most; some 300 bytes each.
    known_at
        The model as it was believed then; None = as it is believed now.
    """

    def __init__(self, max_members: int = MAX_MEMBERS, known_at: datetime | None = None) -> None:
        self._max_members = max_members
        self._known_at = known_at
        self._views: dict[str, UnitView] = {}
        self._members = 0
        self._drops = 0
        self._lock = threading.Lock()
        self._hits = 0
        self._misses = 0

    @property
    def frozen(self) -> bool:
        """Whether it holds the model of one time of belief, which no change concerns."""
        return self._known_at is not None

    def get(self, connection: Connection, codes: set[str]) -> dict[str, UnitView]:
        """Views of the codes that the store knows."""
        with self._lock:
            # Those in use come last, and the first are given up first.
            found = {code: self._views.pop(code) for code in codes if code in self._views}
            self._views |= found
            drops = self._drops
            self._hits += len(found)
            self._misses += len(codes) - len(found)
        wanted = [code for code in codes if code not in found]
        if wanted:
            loaded = load_views(connection, wanted, self._known_at)
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
            view = self._views.pop(code, None)
            self._members -= 0 if view is None else _weight(view)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._drops += 1
            self._views.clear()
            self._members = 0

    def figures(self) -> CacheFigures:
        """How full it is and how often it served."""
        with self._lock:
            return CacheFigures(len(self._views), self._members, self._hits, self._misses)

    def _keep(self, loaded: dict[str, UnitView]) -> None:
        self._views |= loaded
        self._members += sum(map(_weight, loaded.values()))
        while self._members > self._max_members:
            self._members -= _weight(self._views.pop(next(iter(self._views))))


def _weight(view: UnitView) -> int:
    return 1 + len(view.members) + len(view.parents)
