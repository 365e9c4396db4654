"""What is missing of each gateway's numbered messages, as ingest noticed it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import structlog

from grid.numbering import Gap, Numbering, Span
from store.connection import STORE_ERRORS, Connection
from store.sql import load_queries

log = structlog.get_logger("store.gaps")

_SQL = load_queries("gaps")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: What was filled is of interest for a while; what is older than any message that is taken can't be filled any more.
_FILLED_KEPT = timedelta(days=30)
_KEPT = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class GapRow:
    """One gap, as an operator sees it."""

    gateway: str
    numbering: int
    first_sequence: int
    last_sequence: int
    missing: int
    """Messages that are still missing."""
    noticed_at: datetime
    requested_at: datetime | None
    requests: int
    fruitless: int
    """Of these, the last in a row that have brought nothing."""
    filled_at: datetime | None
    out_of_reach: bool
    """Whether the gateway's counter has started anew since, so that it can't be asked for any more."""


class StoredGapLedger:
    """Implements `grid.ports.GapLedger`. The store must be there for `load`; later it may be away.

    Parameters
    ----------
    open_connection
        Opens a connection; called again after the connection was lost.
    """

    def __init__(self, open_connection: Callable[[], Connection]) -> None:
        self._open = open_connection
        self._connection: Connection | None = None

    def load(self) -> tuple[list[Numbering], list[Gap]]:
        """The current numbering of each gateway, and their open gaps; forgets gaps that are long past.

        Raises
        ------
        psycopg.Error
            When the store can't be used.
        """
        with self._open() as connection:
            now = datetime.now(UTC)
            connection.execute(_SQL["forget"], {"filled_before": now - _FILLED_KEPT, "noticed_before": now - _KEPT})
            numberings = [Numbering(*row) for row in connection.execute(_SQL["numberings"])]
            gaps = [
                Gap(gateway, numbering, first, last, _spans(missing), *rest)
                for gateway, numbering, first, last, missing, *rest in connection.execute(_SQL["open"])
            ]
        return numberings, gaps

    def save(self, numberings: Sequence[Numbering], gaps: Sequence[Gap]) -> bool:
        """Keep these in one transaction; false while the store can't be used."""
        try:
            if self._connection is None:
                self._connection = self._open()
            with self._connection.transaction():
                if numberings:
                    self._connection.execute(_SQL["save_numberings"], _numbering_columns(numberings))
                if gaps:
                    self._connection.execute(_SQL["save_gaps"], _gap_columns(gaps))
        except STORE_ERRORS as error:
            log.warning("gaps can't be saved; they are tried again", error=str(error))
            self.close()
            return False
        return True

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            try:
                self._connection.close()
            except psycopg.Error as error:
                log.warning("the connection can't be closed", error=str(error))
            self._connection = None


def list_gaps(
    connection: Connection, gateway: str | None = None, only_open: bool = False, limit: int = 100
) -> list[GapRow]:
    """Gaps, the newest first."""
    arguments = {"gateway": gateway, "open": only_open, "limit": limit}
    return [GapRow(*row) for row in connection.execute(_SQL["list"], arguments)]


def _numbering_columns(numberings: Sequence[Numbering]) -> dict[str, list[Any]]:
    return {
        "gateway": [n.gateway for n in numberings],
        "numbering": [n.numbering for n in numberings],
        "started_at": [_time(n.started_at_us) for n in numberings],
        "first": [n.first for n in numberings],
        "last": [n.last for n in numberings],
        "zero_digest": [n.zero_digest for n in numberings],
    }


def _gap_columns(gaps: Sequence[Gap]) -> dict[str, list[Any]]:
    return {
        "gateway": [g.gateway for g in gaps],
        "numbering": [g.numbering for g in gaps],
        "first": [g.first for g in gaps],
        "last": [g.last for g in gaps],
        "missing": ["{" + ",".join(f"[{first},{last}]" for first, last in g.missing) + "}" for g in gaps],
        "missing_messages": [sum(last - first + 1 for first, last in g.missing) for g in gaps],
        "noticed_at": [_time(g.noticed_at_us) for g in gaps],
        "requested_at": [_time(g.requested_at_us) for g in gaps],
        "requests": [g.requests for g in gaps],
        "fruitless": [g.fruitless for g in gaps],
        "filled_at": [_time(g.filled_at_us) for g in gaps],
    }


def _spans(missing: Any) -> tuple[Span, ...]:
    # PostgreSQL gives ranges of whole numbers back with an open upper end.
    return tuple((span.lower, span.upper - 1) for span in missing)


def _time(at_us: int | None) -> datetime | None:
    return None if at_us is None else _EPOCH + timedelta(microseconds=at_us)
