"""Schema migrations: plain SQL files in `store/migrations`, applied by yoyo as the database's owner."""

from __future__ import annotations

import logging
from importlib.resources import as_file, files
from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from yoyo import get_backend, read_migrations


def migrate(host: str, port: int, name: str, owner: str, password: str, sslmode: str = "prefer") -> list[str]:
    """Apply the migrations that are missing; returns their ids in order.

    Two callers at once are kept apart by yoyo's lock in the database.
    """
    conninfo = make_conninfo(host=host, port=port, dbname=name, user=owner, password=password, sslmode=sslmode)
    return migrate_database(conninfo)


def migrate_database(conninfo: str) -> list[str]:
    """Apply the migrations that are missing, as the user whom a libpq connection string names."""
    logging.getLogger("yoyo").setLevel(logging.WARNING)
    # All of it as parameters: a socket's folder has no place in the authority of a URL.
    parameters = urlencode({k: str(v) for k, v in conninfo_to_dict(conninfo).items()}, quote_via=quote)
    url = f"postgresql+psycopg:///?{parameters}"
    with as_file(files("store") / "migrations") as folder, get_backend(url) as backend:
        migrations = read_migrations(str(folder))
        with backend.lock(timeout=60):
            pending = backend.to_apply(migrations)
            backend.apply_migrations(pending)
            return [migration.id for migration in pending]
