"""A grid model as a JSON file: the fields of `grid.model.GridModel` by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from grid.model import GridModel, Role
from grid.network import Network


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
    # Named here, since the model's own module can't import what its network is made of.
    types = get_type_hints(GridModel, localns={"Network": Network})
    try:
        fields = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        if unknown := sorted(fields.keys() - types.keys()):
            raise ModelFileError(f"{path} holds no grid model: {', '.join(unknown)} is not known")
        values = {
            name: msgspec.convert(value, types[name], dec_hook=_decoded, str_keys=True)
            for name, value in fields.items()
        }
        return GridModel(**values)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{path} holds no grid model: {error}") from None


def write_model(path: Path, model: GridModel) -> None:
    """Inverse of `read_model`."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(model, enc_hook=int), indent=1) + b"\n")


def _decoded(wanted: type, value: Any) -> Any:
    if wanted is Role and isinstance(value, int):
        return Role(value)
    raise NotImplementedError(wanted)
