"""What ingest knows of the grid while the store comes and goes."""

from __future__ import annotations

from typing import Any, Self

import psycopg
import pytest

from grid.model import UnitKind
from store.directory import StoredDirectory


class Store:
    """Opens connections that know `units`; or can't be reached."""

    def __init__(self) -> None:
        self.units = [("A1", "area", "g1")]
        self.away = False
        self.opened = 0

    def __call__(self) -> Any:
        self.opened += 1
        if self.away:
            raise psycopg.OperationalError("connection refused")
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, query: str) -> list[tuple[str, str, str]]:
        return self.units


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def directory(store: Store, clock: Clock) -> StoredDirectory:
    return StoredDirectory(store, clock=clock)


def test_a_new_unit_and_a_new_sender_are_found(directory: StoredDirectory, store: Store, clock: Clock) -> None:
    store.units = [("A1", "area", "g2"), ("F1", "feeder", "g1")]
    clock.now += 5
    assert directory.unit_kind("F1") is UnitKind.FEEDER
    assert directory.may_send("g2", "A1")
    assert not directory.may_send("g1", "A1")


def test_invented_units_don_t_ask_the_store_each_time(directory: StoredDirectory, store: Store, clock: Clock) -> None:
    for number in range(10_000):
        assert directory.unit_kind(f"invented-{number}") is None
        clock.now += 0.001
    assert store.opened <= 4
    assert len(directory._units) == 1


def test_an_unknown_unit_doesn_t_stop_ingest_while_the_store_is_away(
    directory: StoredDirectory, store: Store, clock: Clock
) -> None:
    store.away = True
    clock.now += 60
    for _ in range(100):
        assert directory.unit_kind("Z9") is None
    assert store.opened == 2
    assert directory.unit_kind("A1") is UnitKind.AREA
    assert directory.may_send("g1", "A1")


def test_it_isn_t_made_without_the_store(store: Store, clock: Clock) -> None:
    store.away = True
    with pytest.raises(psycopg.OperationalError):
        StoredDirectory(store, clock=clock)
