"""What units' intervals come to, in plain Python: who had which meter when, and what it counted meanwhile.

Imports nothing of the project. Times are microseconds, energies whole watt-hours at the meter.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stay:
    """A meter in a unit over [start, end), under one multiplier; registers where somebody read them then."""

    unit: str
    multiplier: int
    start: int
    end: int
    opening: int | None = None
    closing: int | None = None


def by_time(energy: int, first: int, last: int, length: int) -> int:
    """Share of an energy between two offsets of an interval: what has come by the one, less what by the other."""
    return (energy * last) // length - (energy * first) // length


def sold(
    unit: str,
    begin: int,
    end: int,
    stays: dict[str, list[Stay]],
    energies: dict[tuple[str, int], int],
    registers: dict[tuple[str, int], int],
    modulus: int,
) -> int | None:
    """What the meters of a unit count in (begin, end], multiplied; None where one of them isn't known.

    Parameters
    ----------
    energies
        By meter and end of the interval, of the whole interval, wherever the meter was.
    registers
        By meter and instant.
    """
    total = 0
    for meter, its_stays in stays.items():
        for stay in its_stays:
            if stay.unit != unit or stay.start >= end or stay.end <= begin:
                continue
            first, last = max(stay.start, begin) - begin, min(stay.end, end) - begin
            counted: int | None
            if (meter, end) in energies:
                counted = by_time(energies[(meter, end)], first, last, end - begin)
            else:
                counted = _between(
                    registers.get((meter, begin)) if stay.start <= begin else stay.opening,
                    registers.get((meter, end)) if stay.end >= end else stay.closing,
                    modulus,
                )
            if counted is None:
                return None
            total += counted * stay.multiplier
    return total


def _between(opening: int | None, closing: int | None, modulus: int) -> int | None:
    if opening is None or closing is None:
        return None
    return closing - opening if closing >= opening else closing - opening + modulus


def without_account(
    begin: int, end: int, stays: dict[str, list[Stay]], energies: dict[tuple[str, int], int], closed: dict[str, int]
) -> int:
    """What meters took after their account was closed, of meters that stay in one unit all the time."""
    total = 0
    for meter, at in closed.items():
        if at < end:
            first = max(at, begin) - begin
            energy = energies[(meter, end)] * stays[meter][0].multiplier
            total += by_time(energy, first, end - begin, end - begin)
    return total
