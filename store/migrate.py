"""Schema migrations: plain SQL files in `store/migrations`, applied by yoyo as the database's owner."""

from __future__ import annotations

import logging
from importlib.resources import as_file, files
from urllib.parse import quote

from yoyo import get_backend, read_migrations


def migrate(host: str, port: int, name: str, owner: str, password: str, sslmode: str = "prefer") -> list[str]:
    """Apply the migrations that are missing; returns their ids in order.

    Two callers at once are kept apart by yoyo's lock in the database.
    """
    logging.getLogger("yoyo").setLevel(logging.WARNING)
    user, secret, database = (quote(part, safe="") for part in (owner, password, name))
    url = f"postgresql+psycopg://{user}:{secret}@{host}:{port}/{database}?sslmode={sslmode}"
    with as_file(files("store") / "migrations") as folder, get_backend(url) as backend:
        migrations = read_migrations(str(folder))
        with backend.lock(timeout=60):
            pending = backend.to_apply(migrations)
            backend.apply_migrations(pending)
            return [migration.id for migration in pending]
