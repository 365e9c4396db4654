"""Records as received, read with the mapping: names in parts, values in our units, references; pure."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Any

from sync.mapping import DatasetMapping, FieldColumn, NameColumn, SourceMapping
from sync.naming import parse_name, plain

Value = float | str | None
#: Longitude and latitude of each position.
Places = tuple[tuple[float, float], ...]
#: Kinds of which there are so many, and which keys tell so well, that their positions aren't kept.
_MANY = frozenset({"meter", "account"})
_NO_RULE = -1


@dataclass(slots=True, eq=False)
class Name:
    """A name as it stands there, and its parts; `parts` None where it follows no naming rule."""

    raw: str
    parts: dict[str, str] | None


class Names:
    """A column of names, None where there is none.

    Of a million addresses, an object and a dict each would take more memory than all else: here the parts are columns,
    and a name is put together when somebody asks for it.
    """

    __slots__ = ("_columns", "_rule", "_slots", "raw")

    def __init__(self) -> None:
        self.raw: list[str | None] = []
        self._rule = array("h")
        self._columns: dict[str, list[str]] = {}
        self._slots: dict[int, tuple[tuple[str, list[str]], ...]] = {}
        """By number of a rule its slots, with their columns."""

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, row: int) -> Name | None:
        raw = self.raw[row]
        if raw is None:
            return None
        rule = self._rule[row]
        return Name(raw, None if rule == _NO_RULE else {slot: column[row] for slot, column in self._slots[rule]})

    def __iter__(self) -> Iterator[Name | None]:
        return map(self.__getitem__, range(len(self.raw)))

    def add(self, raw: str | None, column: NameColumn, plain_of: Mapping[str, str]) -> None:
        """Put a name at the end."""
        found = None if raw is None else parse_name(raw, column.templates)
        rule, parts = (_NO_RULE, {}) if found is None else found
        if found is not None and rule not in self._slots:
            for slot in parts:
                self._columns.setdefault(slot, [""] * len(self.raw))
            self._slots[rule] = tuple((slot, self._columns[slot]) for slot in parts)
        self.raw.append(raw)
        self._rule.append(rule)
        for slot, values in self._columns.items():
            values.append(plain_of[parts[slot]] if slot in parts else "")


class _Plain(dict[str, str]):
    """Parts of names in plain form: a street's stands in thousands of addresses, and is made and kept once."""

    def __init__(self, words: Mapping[str, str]) -> None:
        super().__init__()
        self._words = words

    def __missing__(self, text: str) -> str:
        made = self[text] = intern(plain(text, self._words))
        return made


@dataclass(slots=True, eq=False)
class Rows:
    """A dataset, column by column; all lists are of one length.

    Attributes
    ----------
    fields
        Values by field; numbers in the unit of the field's name.
    refs
        By relation the key of another row, None of none; with `named` the name in parts.
    at
        Row of each key; empty where no other dataset of the system refers to this one.
    unreadable
        Row and field of values that aren't what the mapping says.
    seen
        While they are read: by field each text, its value and whether it can't be read.
    """

    system: str
    dataset: str
    mapping: DatasetMapping
    keys: list[str] = field(default_factory=list)
    names: Names = field(default_factory=Names)
    other_names: Names = field(default_factory=Names)
    stations: Names = field(default_factory=Names)
    addresses: Names = field(default_factory=Names)
    fields: dict[str, list[Value]] = field(default_factory=dict)
    refs: dict[str, list[str | None]] = field(default_factory=dict)
    named: dict[str, Names] = field(default_factory=dict)
    same_as: list[str | None] = field(default_factory=list)
    places: list[Places | None] = field(default_factory=list)
    nodes: list[tuple[str | None, str | None]] = field(default_factory=list)
    unreadable: list[tuple[int, str]] = field(default_factory=list)
    seen: dict[str, dict[tuple[str | None, str | None], tuple[Value, bool]]] = field(default_factory=dict)
    at: dict[str, int] = field(default_factory=dict)
    title: str = field(init=False)

    def __post_init__(self) -> None:
        self.title = f"{self.system}.{self.dataset}"

    def __len__(self) -> int:
        return len(self.keys)


#: Dataset, key and body of each record.
Records = Iterable[tuple[str, str, Mapping[str, Any]]]


def read_rows(system: str, records: Records, mapping: SourceMapping) -> dict[str, Rows]:
    """The rows of a system by dataset; datasets that the mapping doesn't name are left out."""
    datasets = mapping.systems.get(system, {})
    found = {name: _empty(system, name, of) for name, of in datasets.items()}
    plain_of = _Plain(mapping.words)
    for dataset, key, body in records:
        rows = found.get(dataset)
        if rows is not None:
            _add(rows, key, body, plain_of)
    referred = {ref.dataset for of in datasets.values() for ref in of.refs.values()}
    for name, rows in found.items():
        if name in referred:
            rows.at = {key: row for row, key in enumerate(rows.keys)}
    for rows in found.values():
        rows.seen.clear()
        _share_keys(rows, found)
    return found


def _share_keys(rows: Rows, tables: Mapping[str, Rows]) -> None:
    """Let references be the very keys that they name: a utility's are millions, each of which would be there twice."""
    for relation, keys in rows.refs.items():
        target = tables.get(rows.mapping.refs[relation].dataset or "")
        if target is not None:
            at, theirs = target.at, target.keys
            keys[:] = [theirs[at[key]] if key in at else key for key in keys]


def _empty(system: str, name: str, mapping: DatasetMapping) -> Rows:
    rows = Rows(system, name, mapping)
    rows.fields = {field: [] for field in mapping.fields}
    rows.seen = {field: {} for field in mapping.fields}
    rows.refs = {relation: [] for relation, ref in mapping.refs.items() if ref.dataset is not None}
    rows.named = {relation: Names() for relation, ref in mapping.refs.items() if ref.name_of is not None}
    return rows


def _add(rows: Rows, key: str, body: Mapping[str, Any], plain_of: Mapping[str, str]) -> None:
    mapping = rows.mapping
    row = len(rows.keys)
    rows.keys.append(key)
    for column, names in (
        (mapping.name, rows.names),
        (mapping.other_name, rows.other_names),
        (mapping.station, rows.stations),
        (mapping.address, rows.addresses),
    ):
        if column is not None:
            names.add(_text(body.get(column.column)), column, plain_of)
    for field_name, of in mapping.fields.items():
        # The same few values stand in millions of rows: each is read and kept once.
        said = _text(body.get(of.column)), None if of.times is None else _text(body.get(of.times))
        seen = rows.seen[field_name]
        if said not in seen:
            try:
                seen[said] = _value(*said, of), False
            except (ValueError, ZeroDivisionError):
                seen[said] = None, True
        value, bad = seen[said]
        if bad:
            rows.unreadable.append((row, field_name))
        rows.fields[field_name].append(value)
    for relation, ref in mapping.refs.items():
        if ref.dataset is not None:
            rows.refs[relation].append(_text(body.get(ref.column)))
        else:
            rows.named[relation].add(_text(body.get(ref.column)), NameColumn(ref.column, ref.templates), plain_of)
    if mapping.same_as is not None:
        rows.same_as.append(_text(body.get(mapping.same_as.column)))
    if mapping.position is not None and mapping.entity not in _MANY:
        places = body.get(mapping.position)
        rows.places.append(None if not places else tuple((float(p[0]), float(p[1])) for p in places))
    if rows.system == "cim":
        rows.nodes.append((_text(body.get("1:node")), _text(body.get("2:node"))))


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _value(text: str | None, times: str | None, of: FieldColumn) -> Value:
    if text is None:
        return None
    if of.values is not None:
        # A code that the mapping doesn't know says nothing that could be compared.
        return of.values.get(text.lower() if text in {"True", "False"} else text)
    if of.ratio:
        return _finite(_ratio(text) * (1.0 if of.times is None else _ratio(times or "1/1")))
    if of.factor is None:
        return text
    # A thousandth is finer than any of these values; what multiplying adds behind it means nothing.
    return _finite(float(f"{float(text) * of.factor:.9g}"))


def _finite(value: float) -> float:
    # "nan" is no number with which others could agree.
    if not math.isfinite(value):
        raise ValueError
    return value


def _ratio(text: str) -> float:
    over, _, under = text.partition("/")
    return float(over) / float(under or "1")


def fold_cim(records: Records) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    """Objects of a network model with their terminals' nodes and their transformer ends' ratings as values of theirs.

    ``1:node`` and ``2:node`` are the connectivity nodes by sequence number.
    """
    whole = list(records)
    terminals: dict[str, dict[str, str]] = {}
    ratings: dict[str, str] = {}
    for dataset, _, body in whole:
        if dataset == "Terminal":
            owner = body.get("Terminal.ConductingEquipment")
            node = body.get("Terminal.ConnectivityNode")
            number = str(body.get("ACDCTerminal.sequenceNumber") or "1")
            if isinstance(owner, str) and isinstance(node, str):
                terminals.setdefault(owner, {})[f"{number}:node"] = node
        elif dataset == "PowerTransformerEnd":
            owner, rated = body.get("PowerTransformerEnd.PowerTransformer"), body.get("PowerTransformerEnd.ratedS")
            if isinstance(owner, str) and isinstance(rated, str):
                ratings[owner] = rated
    for dataset, key, body in whole:
        if key in terminals:
            more = {"PowerTransformerEnd.ratedS": ratings[key]} if key in ratings else {}
            yield dataset, key, {**body, **terminals[key], **more}
        else:
            yield dataset, key, body
