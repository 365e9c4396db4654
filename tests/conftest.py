"""What tests of the whole share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.stack import StackSpec, destroy
from tests.demonstration import working_for


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
