"""What the columns of each source system mean: read from TOML, checked once; pure."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

EntityKind = Literal["substation", "feeder", "area", "segment", "switch", "account", "meter", "rtu", "point", "node"]
Department = Literal["marketing", "operation", "metering", "dispatch"]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class MappingError(ValueError):
    """A mapping that can't be used; the message names the place."""


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every part of a mapping has."""


class NameColumn(_Part, frozen=True):
    """A column that follows naming rules (命名规范): one of `templates`, such as ``{station} line {number}``."""

    column: Word
    templates: tuple[Word, ...]


class FieldColumn(_Part, frozen=True):
    """A column with a value: a number times `factor`, a word of `values`, or a ratio such as 100/5."""

    column: Word
    factor: float | None = None
    values: dict[str, str] | None = None
    ratio: bool = False
    times: Word | None = None


class ReferenceColumn(_Part, frozen=True):
    """A column that names a row of `dataset` by key, or an entity of kind `name_of` by name."""

    column: Word
    dataset: Word | None = None
    name_of: EntityKind | None = None
    templates: tuple[Word, ...] = ()


class SameColumn(_Part, frozen=True):
    """A column with the key that the same thing has in another dataset, as ``system.dataset``."""

    column: Word
    dataset: Word


class DatasetMapping(_Part, frozen=True):
    """One dataset of a system.

    Attributes
    ----------
    codes
        The keys are the grid model's codes.
    covers
        Of which kind of area it has records; None = of all.
    withheld
        Columns that nothing here needs; see `sync.take.TakeRules`.
    """

    entity: EntityKind
    department: Department
    name: NameColumn | None = None
    other_name: NameColumn | None = None
    station: NameColumn | None = None
    address: NameColumn | None = None
    fields: dict[str, FieldColumn] = {}
    refs: dict[str, ReferenceColumn] = {}
    same_as: SameColumn | None = None
    position: Word | None = None
    codes: bool = False
    covers: Literal["public", "dedicated"] | None = None
    withheld: tuple[Word, ...] = ()


class SourceMapping(_Part, frozen=True):
    """All systems: datasets by system and name, and the words that systems shorten."""

    words: dict[str, str]
    systems: dict[str, dict[str, DatasetMapping]]

    def withheld(self, system: str) -> dict[str, frozenset[str]]:
        """Columns of a system's datasets that aren't kept."""
        datasets = self.systems.get(system, {})
        return {name: frozenset(m.withheld) for name, m in datasets.items() if m.withheld}

    def department(self, system: str, dataset: str) -> str:
        """Who keeps a dataset."""
        mapping = self.systems.get(system, {}).get(dataset)
        return "operation" if mapping is None else mapping.department


def parse_mapping(text: str) -> SourceMapping:
    """The mapping that a TOML text holds.

    Raises
    ------
    MappingError
        Not TOML, an unknown word, or a reference to a dataset that isn't there.
    """
    try:
        found = tomllib.loads(text)
        words = msgspec.convert(found.pop("words", {}), dict[str, str])
        systems = msgspec.convert(found, dict[str, dict[str, DatasetMapping]])
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise MappingError(str(error)) from None
    _check(systems)
    return SourceMapping(words, systems)


def _check(systems: Mapping[str, Mapping[str, DatasetMapping]]) -> None:
    for system, datasets in systems.items():
        for name, mapping in datasets.items():
            place = f"{system}.{name}"
            for relation, ref in mapping.refs.items():
                if (ref.dataset is None) == (ref.name_of is None):
                    raise MappingError(f"{place}.refs.{relation}: either dataset or name_of, and not both")
                if ref.dataset is not None and ref.dataset not in datasets:
                    raise MappingError(f"{place}.refs.{relation}: {system} has no dataset {ref.dataset}")
            if mapping.same_as is not None:
                other, _, dataset = mapping.same_as.dataset.partition(".")
                if dataset not in systems.get(other, {}):
                    raise MappingError(f"{place}.same_as: no dataset {mapping.same_as.dataset}")
