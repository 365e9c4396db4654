"""Commands whose modules are loaded when one of them is asked for.

There are some 150 commands. A worker that was killed and is started again would first load all of them, and waits for
none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group


class LoadingGroup(TyperGroup):
    """A group with commands of its own and others that are elsewhere.

    Attributes
    ----------
    places
        By the name of each of the others, where its function or its group is: ``module:attribute``.
    """

    places: ClassVar[Mapping[str, str]] = {}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Commands(dict(self.commands), self.places)


class _Commands(MutableMapping[str, Any]):
    """By name; what is elsewhere is loaded by a look at it."""

    def __init__(self, there: dict[str, Any], places: Mapping[str, str]) -> None:
        self._there = there
        self._names = dict.fromkeys([*there, *places])
        self._places = places

    def __getitem__(self, name: str) -> Any:
        if name not in self._there:
            self._there[name] = _load(name, self._places[name])
        return self._there[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._there[name] = command
        self._names[name] = None

    def __delitem__(self, name: str) -> None:
        del self._names[name]
        self._there.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _load(name: str, place: str) -> Any:
    module, attribute = place.split(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        group = get_group(found)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False)
    alone.command(name)(found)
    return get_command(alone)
