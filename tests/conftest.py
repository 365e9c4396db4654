"""What tests of the whole share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from deploy.stack import StackSpec, destroy
from tests.demonstration import working_for
from tests.waiting import Promise, allowed_s

# The same examples each time, so that a commit passes or fails and not a draw; new ones are looked for with
# `pytest tests/property --hypothesis-profile search --hypothesis-seed N`.
# How long an example takes is the machine's affair.
_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", _UNTIMED, derandomize=True)
settings.register_profile("search", _UNTIMED, print_blob=True)
settings.load_profile("same")

_PROMISE = "promise"


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


@pytest.fixture
def promise(record_property: Callable[[str, object], None]) -> Promise:
    """Tell what a promise of time came to; hold it to the letter in a file that runs alone, loosely beside another."""

    def hold(what: str, seconds: float, promised_s: float) -> None:
        record_property(_PROMISE, f"{what}: {seconds:.2f} s of {promised_s:g} s")
        assert seconds < allowed_s(promised_s), f"{what}: {seconds:.2f} s, promised are {promised_s:g} s"

    return hold


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was measured of the promises."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    told = [text for report in reports for name, text in report.user_properties if name == _PROMISE]
    if told:
        terminalreporter.section("promises of time")
        for text in told:
            terminalreporter.write_line(text)
