"""What tests of the whole share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from deploy.stack import StackSpec, destroy
from tests.demonstration import working_for

# The same examples each time, so that a commit passes or fails and not a draw; new ones are looked for with
# `pytest tests/property --hypothesis-profile search --hypothesis-seed N`.
settings.register_profile("same", derandomize=True)
settings.register_profile("search", print_blob=True)
settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of `./test chaos`, `soak` and `sim`; here, since those of a folder below aren't known in time."""
    chaos = parser.getgroup("chaos")
    chaos.addoption("--fault", action="append", default=[], help="play this fault alone, or all; may be given again")
    chaos.addoption("--rounds", type=int, default=1, help="rounds of each fault, each with a seed of its own")
    chaos.addoption("--chaos-seed", type=int, default=1, help="seed of the first round")
    chaos.addoption("--minutes", type=float, default=None, help="how long the soak goes on; without, there is none")
    sim = parser.getgroup("sim")
    sim.addoption("--seeds", type=int, default=200, help="seeds of the simulation, from 0 on")
    sim.addoption("--seed", type=int, default=None, help="only this seed of the simulation, with its schedule")


@pytest.fixture
def spec(tmp_path: Path) -> Iterator[StackSpec]:
    """A stack beside any other; removed afterwards."""
    made = StackSpec.with_free_ports(tmp_path / "run")
    made.save()
    yield made
    # A test that failed in the middle leaves its run behind.
    for process in working_for(made):
        process.kill()
    destroy(made)
