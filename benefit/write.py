"""Writes new versions of entries, some hundreds in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from benefit.ledger import Entry, digest_of
from store.benefit import add_entries, newest_entries, withdraw_entry
from store.connection import Connection

#: Entries of one transaction.
_BATCH = 500


class EntryWriter:
    """Compares entries with the newest versions that are stored, and adds what is new or other than it was.

    Attributes
    ----------
    written
        New versions by reason.
    unchanged
        Entries that stand as they did.
    """

    def __init__(self, connection: Connection) -> None:
        self.written: Counter[str] = Counter()
        self.unchanged = 0
        self._connection = connection
        self._newest = {(row[0], row[1], row[2]): row[3:] for row in newest_entries(connection)}
        self._seen: set[tuple[str, int, str]] = set()
        self._owed: list[dict[str, Any]] = []

    def add(self, entries: Iterable[Entry]) -> None:
        """Entries as they are now; each once."""
        for entry in entries:
            key = (entry.source, entry.source_id, entry.item)
            self._seen.add(key)
            version, withdrawn, digest, parameters_id, said, _ = self._newest.get(key, (0, True, b"", None, None, None))
            if bytes(digest) == entry.digest() and not withdrawn:
                self.unchanged += 1
                continue
            reason = "new"
            if version and not withdrawn:
                changed = digest_of(said) != digest_of(dict(entry.evidence["source"]))
                of_parameters = parameters_id != entry.parameters_id
                reason = "source" if changed else "parameters" if of_parameters else "restated"
            values = {name: getattr(entry, name) for name in Entry.__slots__}
            self._owed.append({**values, "version": version + 1, "digest": entry.digest(), "reason": reason})
            self.written[reason] += 1
            if len(self._owed) >= _BATCH:
                self._flush()

    def end(self, standing: set[tuple[str, int]]) -> None:
        """Write what is left; what lost its source, or isn't said of it any more, counts no more.

        An avoided loss of which nothing can be said any more, since its days aren't kept, stays as it was.

        Parameters
        ----------
        standing
            Sources that there are.
        """
        self._flush()
        with self._connection.transaction():
            for key, (version, withdrawn, *_) in sorted(self._newest.items()):
                source, source_id, item = key
                stays = (source, source_id) in standing and (item == "loss_avoided" or key in self._seen)
                if not withdrawn and not stays:
                    withdraw_entry(self._connection, source, source_id, item, version)
                    self.written["withdrawn"] += 1

    def _flush(self) -> None:
        with self._connection.transaction():
            add_entries(self._connection, self._owed)
        self._owed.clear()
