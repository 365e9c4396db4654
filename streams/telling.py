"""What settled units tell, on its way to the units above: one record a partition, however many parents there are.

A record costs its consumer far more than the states in it, and a batch of areas has almost as many feeders.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from aiokafka.partitioner import murmur2

from grid.unit_energy import UnitEnergies, encode_unit_energies

#: States in one record, unless one part alone has more: some 700 kB.
_MAX_STATES = 10_000


@functools.lru_cache(maxsize=100_000)
def partition_of(parent: str, partitions: int) -> int:
    """The partition in which Kafka's clients put a record with this key, so that a unit has one worker."""
    return int(murmur2(parent.encode()) & 0x7FFFFFFF) % partitions


def bundled(energies: Sequence[UnitEnergies], partitions: int) -> Iterator[tuple[int, bytes]]:
    """Partition and value of each record to send; of one parent the order is kept."""
    by_partition: dict[int, list[UnitEnergies]] = {}
    for each in energies:
        by_partition.setdefault(partition_of(each.parent, partitions), []).append(each)
    for partition, parts in by_partition.items():
        begin = states = 0
        for n, part in enumerate(parts):
            if n > begin and states + len(part) > _MAX_STATES:
                yield partition, encode_unit_energies(parts[begin:n])
                begin, states = n, 0
            states += len(part)
        yield partition, encode_unit_energies(parts[begin:])
