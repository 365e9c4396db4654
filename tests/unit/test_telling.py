"""Energies on their way to the units above."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from aiokafka.partitioner import DefaultPartitioner

from grid.arrow import InvalidBlockError
from grid.unit_energy import UnitEnergies, decode_unit_energies, encode_unit_energies
from streams.telling import bundled, partition_of


def energies(parent: str, first: int, size: int = 1) -> UnitEnergies:
    n = np.arange(first, first + size)
    return UnitEnergies(
        parent, n.astype(np.int32), n, n.astype(np.int32), n, n, n, n, n, n, n, n, n, n, n, n.astype(np.uint8)
    )


def test_a_parent_has_the_partition_that_its_key_would_have() -> None:
    partitioner = DefaultPartitioner()
    for n, code in itertools.product((1, 8, 12), ("F1", "配网-十里铺", "a" * 80)):
        assert partition_of(code, n) == partitioner(code.encode(), list(range(n)), list(range(n)))


def test_parents_of_one_partition_share_a_record_and_each_keeps_its_order() -> None:
    sent = [energies(f"F{n % 7} 10kV", n) for n in range(40)]
    records = list(bundled(sent, 3))
    assert len(records) == len({p for p, _ in records}) <= 3
    parts = [part for _, value in records for part in decode_unit_energies(value)]
    for code in {e.parent for e in sent}:
        assert [int(p.child_id[0]) for p in parts if p.parent == code] == [
            int(e.child_id[0]) for e in sent if e.parent == code
        ]
    assert all(partition_of(part.parent, 3) == p for p, value in records for part in decode_unit_energies(value))


def test_records_stay_small_however_much_is_told() -> None:
    sent = [energies(f"F{n}", 0, 4_000) for n in range(6)]
    sizes = [sum(map(len, decode_unit_energies(value))) for _, value in bundled(sent, 1)]
    assert sizes == [8_000, 8_000, 8_000]


def test_nothing_is_told_in_no_record() -> None:
    assert list(bundled([], 8)) == []


@pytest.mark.parametrize(
    "header", [b"1 F1 or F2", b"3 F1 or F2", b"x F1 or F2", b"2222222222", b"1 F1\n2 F22", b"1 F1\n\n1 F2"]
)
def test_rows_without_their_parent_are_refused(header: bytes) -> None:
    value = encode_unit_energies([energies("F1 or F2", 1, 2)])
    good = b"2 F1 or F2"
    assert value.count(good) == 1
    assert len(header) == len(good)
    with pytest.raises(InvalidBlockError):
        decode_unit_energies(value.replace(good, header))
