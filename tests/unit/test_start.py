"""What a program loads when it starts: whoever is killed is away for as long as that takes."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from meterline.memory import without_collecting

_LOADED = "import sys; print(*sys.modules)"


def loaded(*statements: str) -> set[str]:
    """Modules that a new interpreter has after these statements, and their packages."""
    code = "; ".join((*statements, _LOADED))
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    return set(names) | {name.split(".")[0] for name in names}


def test_a_command_loads_no_other() -> None:
    there = loaded(
        "from typer.main import get_command",
        "from meterline.cli import app",
        "get_command(app).commands['worker']",
    )
    assert "meterline.cli_worker" in there
    assert not there & {
        "meterline.cli_alert",
        "meterline.cli_rollout",
        "meterline.cli_stack",
        "deploy",
        "numpy",
        "faust",
    }


@pytest.mark.parametrize(
    ("module", "uses", "others"),
    [
        ("meterline.worker", {"faust", "numba"}, {"kafka", "paho", "yoyo", "ingest.sources", "deploy"}),
        ("meterline.metrics_bridge", {"kafka", "paho"}, {"faust", "streams", "kernels", "yoyo", "deploy"}),
        ("meterline.metrics_readings", {"kafka", "numba"}, {"faust", "streams", "kernels", "paho", "yoyo", "deploy"}),
    ],
)
def test_a_program_loads_what_it_uses(module: str, uses: set[str], others: set[str]) -> None:
    there = loaded("import meterline.bootstrap, meterline.config, meterline.ops", f"import {module}")
    assert uses <= there
    assert not there & others


def test_garbage_is_looked_for_again_when_all_is_loaded() -> None:
    with without_collecting():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()
