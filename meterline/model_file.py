"""A grid model as a JSON file: the fields of `grid.model.GridModel` by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from grid.model import GridModel, Role


class ModelFileError(RuntimeError):
    """A file doesn't hold a grid model; the message says why."""


def read_model(path: Path) -> GridModel:
    """The model that a file holds; references resolve.

    Raises
    ------
    ModelFileError
        When it holds none.
    OSError
        When it can't be read.
    """
    try:
        return msgspec.convert(msgspec.json.decode(path.read_bytes()), GridModel, dec_hook=_decoded)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} holds no grid model: {error}") from None


def write_model(path: Path, model: GridModel) -> None:
    """Inverse of `read_model`."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(model, enc_hook=int), indent=1) + b"\n")


def _decoded(wanted: type, value: Any) -> Any:
    if wanted is Role and isinstance(value, int):
        return Role(value)
    raise NotImplementedError(wanted)
