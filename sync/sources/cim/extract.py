"""A network model in RDF/XML as records: each object under its class, its values as they stand there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sync.sources.cim.rdf import CimError, Item, read_model
from sync.sources.contract import KEPT, RawRecord, Refusal, SourceError, Taken, checked_key


def read_cim(path: Path) -> Taken:
    """Every object of a file, class by class; the key is the mRID.

    Raises
    ------
    SourceError
        The file isn't a network model; with line and column.
    """
    try:
        model = read_model(path)
    except CimError as error:
        raise SourceError(f"{path}: {error}") from None
    for items in model.by_kind.values():
        for item in items:
            yield _record(item)


def _record(item: Item) -> RawRecord | Refusal:
    key = checked_key(item.key, item.line, None, item.name[:KEPT])
    if isinstance(key, Refusal):
        return key
    body: dict[str, Any] = {
        name: values[0] if len(values) == 1 else list(values) for name, values in item.values.items()
    }
    return RawRecord(item.kind.rpartition(" ")[2], key, body, item.line)
