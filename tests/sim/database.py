"""A database in memory for the true `streams.processor.Processor`: transactions that fail, or succeed unheard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
import pytest

from grid.errors import Rejection
from grid.loss_rules import LossRules
from grid.roster import UnitView
from grid.rows import BalanceRows, BlockRows, StoredBlock, Superseded
from store.blocks import StaleVersionError
from streams import processor
from streams.steps.contribution import Key
from streams.view_cache import ViewCache
from tests.memory import MemoryStore
from tests.sim.chance import Chance, Killed
from tests.sim.virtual_loop import VirtualLoop
from tests.small_hierarchy import NOON_US, SECOND_US, VIEWS

#: The last instant that there is.
LAST_US = NOON_US + 200_000 * 365 * 86_400 * SECOND_US


class Database(MemoryStore):
    """Rows that all workers share, and inputs that were refused."""

    def __init__(self, chance: Chance, loop: VirtualLoop) -> None:
        # What stands in for readings that never come depends on when it was looked, and so on the order.
        super().__init__(rules=LossRules(estimate=False))
        self.chance = chance
        self.loop = loop
        self.refused: set[bytes] = set()


class Session:
    """A connection of one worker, as much of it as a processor uses."""

    def __init__(self, database: Database, owner: str) -> None:
        self.database = database
        self.owner = owner
        self.closed = False
        #: Its process is gone: what it has begun comes to nothing.
        self.dead = False
        self.staged: list[Callable[[], None]] = []

    def commit(self) -> None:
        pass

    def rollback(self) -> None:
        self.staged = []

    def close(self) -> None:
        self.closed = True

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.staged = []
        yield
        self.goes_wrong("before commit")
        for work in self.staged:
            work()
        self.goes_wrong("after commit")

    def sleeps(self) -> None:
        """Others run meanwhile; now and then so long that a partition has moved when it wakes."""
        chance = self.database.chance
        long = chance.happens("a worker is stopped")
        if long:
            chance.note(f"{self.owner} is stopped")
        self.database.loop.give_way(chance.pause_s(15.0 if long else 1.0))
        if self.dead:
            raise Killed("killed meanwhile")
        if long:
            chance.note(f"{self.owner} wakes")

    def goes_wrong(self, where: str) -> None:
        """Fail here, or end the process, where chance will have it."""
        chance = self.database.chance
        if chance.happens(f"killed {where}"):
            chance.note(f"{self.owner} is killed {where}")
            raise Killed(where)
        if chance.happens(f"lost {where}"):
            chance.note(f"{self.owner} loses its connection {where}")
            raise psycopg.OperationalError(f"lost {where}")


class Views(ViewCache):
    """The model, which never changes here."""

    @property
    def frozen(self) -> bool:
        return True

    def get(self, connection: object, codes: set[str]) -> dict[str, UnitView]:
        return {code: VIEWS[code] for code in sorted(codes) if code in VIEWS}


def _read(session: Any, keys: Sequence[Key]) -> dict[Key, StoredBlock]:
    database: Database = session.database
    session.goes_wrong("before reading")
    found = {key: database.rows[key] for key in keys if key in database.rows}
    session.sleeps()
    return found


def _write(session: Any, rows: BlockRows, balances: BalanceRows, superseded: Superseded) -> None:
    database: Database = session.database
    if len(rows) and rows.observed_at_us.max() > LAST_US:
        raise psycopg.errors.DatetimeFieldOverflow("timestamp out of range")
    keys = zip(rows.unit_id.tolist(), rows.observed_at_us.tolist(), rows.interval_s.tolist(), strict=True)
    stored = [database.rows[key].version if key in database.rows else 0 for key in keys]
    if stored != rows.read_version.tolist():
        database.chance.note(f"{session.owner} has read rows that moved on")
        raise StaleVersionError("rows have moved on")
    session.staged.append(lambda: database.write(rows, balances, superseded))


def _refuse(session: Any, rejections: Sequence[Rejection], at: datetime) -> None:
    session.staged.append(lambda: session.database.refused.update(r.original for r in rejections))


def install(patch: pytest.MonkeyPatch) -> None:
    """Put the database in the place of the store's functions that a processor calls."""
    patch.setattr(processor, "read_blocks", _read)
    patch.setattr(processor, "write_blocks", _write)
    patch.setattr(processor, "add_rejections", _refuse)
    patch.setattr(processor, "lock_units", lambda session, units: None)
    patch.setattr(processor, "lock_model", lambda session: None)
    patch.setattr(processor, "newest_threshold", lambda session: 0)
