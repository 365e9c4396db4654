"""One fault under load, and what came of it."""

from __future__ import annotations

import contextlib
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.faults import FAULTS, Round
from tests.chaos.growth import Memory
from tests.chaos.harness import Stack

#: On a machine that others keep busy; what is allowed is judged by who plays.
_PATIENCE_S = 240.0
#: Messages that wait for two workers: more than a full batch for each.
_BATCHES = 2_500


@dataclass(frozen=True, slots=True)
class Played:
    """What a round came to: nothing missing, doubled or other than recomputed, or it had failed."""

    name: str
    seed: int
    seconds: float
    """From the beginning of the load to its end, before all is compared."""
    recovered_s: float
    """Until each area was settled again, the longest time of it; 0 where nothing was away."""
    growth: dict[str, int]
    """Bytes by which each program's memory grew."""
    load: float
    """Of the machine in the last minute: programs that run or wait for a core. Whoever starts again waits too."""

    def __str__(self) -> str:
        limit = FAULTS[self.name].recovery_s
        again = "" if limit is None else f"settled again after {self.recovered_s:.1f} s of {limit:g} s, "
        each = ", ".join(f"{program} {size / 1e6:+.0f}" for program, size in self.growth.items())
        grown = f"memory {each} MB of {FAULTS[self.name].growth_max / 1e6:.0f}"
        on = f"load {self.load:.0f} on {os.cpu_count()} cores"
        return f"{self.name}, seed {self.seed}: {again}{grown}; {self.seconds:.0f} s, {on}"


def play(stack: Stack, name: str, seed: int, folder: Path) -> Played:
    """Play one fault; the same seed plays it the same way, as far as the machine does.

    Raises
    ------
    AssertionError
        When readings are missing or doubled, or a result isn't what it must be.
    """
    fault = FAULTS[name]
    chance = random.Random(seed)  # noqa: S311  # the same round at each run
    stack.until_ready()
    with fault.around(stack), contextlib.ExitStack() as watched:
        with stack.load(folder, fault.publish) as load:
            began = time.monotonic()
            # Watched to the end: what has come is settled while it is compared.
            memory = watched.enter_context(Memory(stack.spec))
            time.sleep(chance.uniform(0.0, 1.5))
            if fault.clean_first:
                load.goes_on(fault.clean_first)
                # A full batch takes what it takes, whatever is in it: on a busy machine they come in any case.
                with stack.paused("postgres"):
                    load.goes_on(_BATCHES)
                # What has come must also have been settled: on a busy machine a fresh worker is still behind.
                stack.until_settled(time.time(), _PATIENCE_S)
                memory.clean_until_now()
            recovered_s = 0.0
            with contextlib.ExitStack() as over:
                round_ = Round(stack, load, chance, over)
                since = fault.act(round_)
                if fault.recovery_s is not None:
                    recovered_s = max([stack.until_settled(since, _PATIENCE_S), *round_.recoveries_s])
            stack.until_no_gap()
            seconds, machine = time.monotonic() - began, os.getloadavg()[0]
        stack.check(load, at_least=300)
        # The load went by the lane that it was to go by.
        lane = "backfill" if fault.backfill else "areas"
        assert stack.rows_written(lane) > 0
    return Played(name, seed, seconds, recovered_s, memory.growth(), machine)
