"""The stack that things go wrong with."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from deploy.stack import StackSpec, destroy
from tests.chaos.harness import Stack, make_stack
from tests.demonstration import working_for
from tests.integration.conftest import Database, migrated_template, own_databases, running_servers


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One a file."""
    spec = StackSpec.with_free_ports(tmp_path_factory.mktemp("chaos") / "run", workers=2)
    try:
        yield make_stack(spec)
    finally:
        for process in working_for(spec):
            process.resume()
        destroy(spec)


@pytest.fixture
def make_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Database]]:
    """Makes databases of its own, on servers that do nothing else and are gone afterwards."""
    with (
        running_servers(tmp_path_factory.mktemp("chaos") / "run") as spec,
        own_databases(spec, migrated_template(spec)) as make,
    ):
        yield make
