"""Servers of its own for each file here: what programs leave behind, in topics too, is no other file's beginning."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.stack import StackSpec
from meterline.config import Settings
from tests.integration.conftest import migrated_template, prepared, running_servers


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackSpec]:
    with running_servers(tmp_path_factory.mktemp("stack") / "run") as spec:
        yield spec


@pytest.fixture(scope="module")
def config_path(stack: StackSpec) -> Path:
    return stack.config_path


@pytest.fixture(scope="module")
def settings(config_path: Path) -> Settings:
    return prepared(config_path)


@pytest.fixture(scope="module")
def template(stack: StackSpec) -> str:
    return migrated_template(stack)
