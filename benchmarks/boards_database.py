"""A database of a big utility for the benchmark of the boards, filled on the server.

1,000 feeders of 20 substations, 20,000 areas of 80 meters each. At scale 1: a year of quarter-hours of feeders and of
what is above them, a year of days of all units, 7 days of quarter-hours of areas, a day of their blocks. A smaller
scale shortens the times and leaves the units, and what was found of them: alerts, findings, doubts, copies, benefits.
A day of results is made once and copied to the others, so the same values return every day: plans and times don't
depend on them. Rows lie in the order of time, as workers write them.

Each step notes its end in its own transaction: who was interrupted goes on where he was.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]
Connect = Callable[[], Connection]

SIZES = {"substations": 20, "feeders": 1_000, "areas": 20_000, "meters": 80}
_DAY = timedelta(days=1)
_WRITERS = 2
_PARTS = re.split(
    r"^-- name: (\w+)\n", Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"), flags=re.MULTILINE
)
_SQL = dict(zip(_PARTS[1::2], _PARTS[2::2], strict=True))
# Nothing is served while it is filled, and what the machine loses is made again: a log of it would be written in vain.
_HASTE = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}


def fill(connect: Connect, connect_superuser: Connect, scale: float = 1.0) -> float | None:
    """Fill a migrated database up to now, or go on with one that was begun.

    Parameters
    ----------
    connect, connect_superuser
        Open autocommitted connections of the database's owner, and of one who may set what holds for the server.
    scale
        Of the times; that of a database that was begun stands.

    Returns
    -------
    float or None
        Seconds that it took; None where a part was there already.
    """
    started = time.monotonic()
    with connect_superuser() as superuser:
        _set(superuser, _HASTE)
        try:
            is_new = _fill(connect, scale)
        finally:
            _set(superuser, dict.fromkeys(_HASTE))
        if is_new is not None:
            superuser.execute("checkpoint")
    return time.monotonic() - started if is_new else None


def _set(superuser: Connection, settings: Mapping[str, str | None]) -> None:
    for name, value in settings.items():
        change = f"alter system reset {name}" if value is None else f"alter system set {name} = '{value}'"
        superuser.execute(change.encode())
    superuser.execute("select pg_reload_conf()")


def _fill(connect: Connect, scale: float) -> bool | None:
    """Whether all was filled now; None where nothing was to do."""
    with connect() as connection:
        _run(connection, "progress", scale=scale)
        row = connection.execute("select scale, until, now() - until from boards_filling").fetchone()
        done = {name for (name,) in connection.execute("select step from boards_step")}
        assert row is not None
        if "analyze" in done:
            return None
        for name in ("units", "members", "network", "beside", "day", "values", "unindexed"):
            _step(connection, done, name)
    scale, end = float(row[0]), row[1]
    year, week, block = (timedelta(days=days * scale) for days in (365, 7, 1))
    # A year up to a week ago without areas, then with them.
    days = [
        *(
            ("balances", day, {"areas": False, "since": end - year, "until": end - week})
            for day in _days(end - year, end - week)
        ),
        *(("balances", day, {"areas": True, "since": end - week, "until": end}) for day in _days(end - week, end)),
        *(("blocks", day, {"since": end - block, "until": end}) for day in _days(end - block, end)),
    ]
    failed: list[Exception] = []

    def write(number: int) -> None:
        try:
            with connect() as connection:
                for name, day, values in days[number::_WRITERS]:
                    _step(connection, done, name, f"{name} {values.get('areas')} {day:%Y-%m-%d}", day=day, **values)
        except psycopg.Error as error:
            failed.append(error)

    writers = [threading.Thread(target=write, args=(number,), daemon=True) for number in range(_WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    if failed:
        raise failed[0]
    with connect() as connection:
        connection.execute("set maintenance_work_mem = '1GB'")
        _step(connection, done, "periods", first=(end - year).date(), last=end.date())
        for name in (
            "balance_key",
            "balance_observed",
            "balance_recorded",
            "balance_due",
            "period_key",
            "period_first_day",
            "told",
            "findings",
            "records",
        ):
            _step(connection, done, name)
        connection.execute("set default_statistics_target = 20")
        _step(connection, done, "analyze")
    return not done


def catch_up(connection: Connection) -> None:
    """Add what has passed since the database was filled, or caught up."""
    row = connection.execute(
        "select max(observed_at) from loss.balance where observed_at > now() - interval '30 days'"
    ).fetchone()
    assert row is not None
    since, until = row[0], datetime.now(UTC)
    for day in _days(since, until):
        _run(connection, "balances", day=day, areas=True, since=since, until=until)
        _run(connection, "blocks", day=day, since=since, until=until)
    connection.execute("update telemetry.point_last set observed_at = now() - point_id % 90 * interval '1 second'")


def _days(since: datetime, until: datetime) -> Iterator[datetime]:
    day = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    while day < until:
        yield day
        day += _DAY


def _step(connection: Connection, done: set[str], name: str, step: str | None = None, **values: object) -> None:
    if (step or name) in done:
        return
    started = time.monotonic()
    with connection.transaction():
        _run(connection, name, **values)
        connection.execute("insert into boards_step values (%s, %s)", (step or name, time.monotonic() - started))


def _run(connection: Connection, name: str, **values: object) -> None:
    for statement in _SQL[name].split(";\n"):
        connection.execute(statement.encode(), {**SIZES, **values})
