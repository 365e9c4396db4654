"""The soak goes on for as long as it is told to, and otherwise not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.conftest import stack

__all__ = ["pytest_ignore_collect", "stack"]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`./test` has no hour for it."""
    return True if config.getoption("--minutes") is None and collection_path.name == "test_soak.py" else None
