"""What a worker holds of the grid model: how much it takes, and that several threads may ask."""

from __future__ import annotations

import subprocess
import sys
import threading

import pyarrow as pa

from grid.memberships import Membership
from grid.model import Role, UnitKind
from grid.roster import BEGINNING_US, END_US, Parentage, UnitView
from streams.view_cache import MAX_BYTES

NOON_US = 1_780_315_200_000_000

PROGRAM = """
import resource
import numpy as np, pyarrow as pa
from streams import view_cache
from tests.unit.test_view_cache import NOON_US, area

def resident():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def meet(number):
    view = area(number, 400)
    # As they come in a record, whose order isn't the unit's: nothing of it is to be kept alive.
    codes = [member.meter for member in view.members][::-1]
    record = bytearray(b"".join(code.encode() for code in codes).ljust(20_000))
    offsets = np.arange(0, 401 * 12, 12, dtype=np.int32)
    meters = pa.StringArray.from_buffers(400, pa.py_buffer(offsets), pa.py_buffer(record).slice(0, 4_800))
    assert view.positions(view.roster(NOON_US, 900), meters).tolist() == [*range(399, -1, -1)]
    return view

meet(0)
before = resident()
cache = view_cache.ViewCache()
for number in range(1, 251):
    view = meet(number)
    cache._keep({view.unit: view})
print(resident() - before, cache._bytes)
"""


def area(number: int, meters: int) -> UnitView:
    """As it is read from the store: each value an object of its own."""
    members = tuple(
        Membership(
            position,
            f"{number:06}{position:06}",
            None,
            int(Role.CUSTOMER),
            1,
            float(f"{1 + position % 3}"),
            NOON_US - 10**12 - position,
            END_US,
            phases="ABC"[position % 3],
        )
        for position in range(meters)
    )
    parents = (Parentage(10**6 + number // 30, f"F{number // 30}", BEGINNING_US, END_US),)
    return UnitView(number, f"area-{number}", UnitKind.AREA, members, parents)


def test_a_million_meters_fit_and_take_no_more_than_is_counted() -> None:
    """Here a tenth of them, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join([".", *sys.path])},
    )
    taken, counted = map(int, done.stdout.split())
    assert taken <= counted * 1.1
    assert 10 * counted <= MAX_BYTES
    assert taken / (250 * 400) <= 190, "bytes a meter"
    # Beside what a worker takes without any.
    assert MAX_BYTES <= 250_000_000


def test_threads_may_ask_one_view() -> None:
    """Of other times and other meters each, while rosters are given up for others."""
    view = area(1, 20)
    errors: list[object] = []
    codes = [member.meter for member in view.members]

    def ask(number: int) -> None:
        meters = pa.array(codes[number:] + codes[:number], pa.string())
        expected = [*range(number, 20), *range(number)]
        try:
            for turn in range(300):
                # Members begin one after the other: each time has a roster of its own.
                roster = view.roster(NOON_US - 10**12 - turn % 20, 60)
                found = view.positions(roster, meters).tolist()
                known = [p if p in roster.position_of_meter.values() else -1 for p in expected]
                if found != known:
                    errors.append((number, turn, found))
        except Exception as error:  # noqa: BLE001  # shown by the test
            errors.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert errors == []
