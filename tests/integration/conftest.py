"""Real servers for the integration tests: one stack a session, beside whatever else runs on the machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.stack import StackSpec, destroy, start_servers


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackSpec]:
    """Mosquitto, Kafka and TimescaleDB, started once; nothing of them is left at the end."""
    spec = StackSpec.with_free_ports(tmp_path_factory.mktemp("stack") / "run")
    try:
        start_servers(spec)
        yield spec
    finally:
        destroy(spec)


@pytest.fixture(scope="session")
def config_path(stack: StackSpec) -> Path:
    """Meterline's settings file for that stack."""
    return stack.config_path
