"""Releases (版本): what changed, where it is deployed, which units have confirmed it, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from store.connection import Connection
from store.rollout import Row, TakenNumberError, UnknownCodeError, add_row, read_rows
from sync.rollout.errors import NotFoundError, RolloutError

#: After which step of a unit each is possible; None: before any.
_AFTER: dict[str, set[str | None]] = {
    "deploy": {None, "roll_back"},
    "confirm": {"deploy"},
    "roll_back": {"deploy", "confirm"},
}


def make_release(connection: Connection, code: str, name: str, changes: str, by: str, at: datetime) -> Row:
    """Make a release known, with what it changes.

    Raises
    ------
    RolloutError
        When there is one of this code, or it says nothing.
    """
    if not code.strip() or not name.strip() or not changes.strip():
        raise RolloutError("a release has a code and a name, and says what it changes")
    try:
        add_row(connection, "desk", "add_release", code=code, name=name, changes=changes, at=at, actor=by)
    except TakenNumberError:
        raise RolloutError(f"there is a release {code} already") from None
    return read_release(connection, code, at)


def release_step(
    connection: Connection, code: str, action: str, units: Sequence[str], note: str, by: str, at: datetime
) -> Row:
    """Note that a release was deployed at units, confirmed by them or taken back.

    Raises
    ------
    RolloutError
        When there is no such release or unit, or the step isn't possible at one of the units; nothing is written.
    """
    if action not in _AFTER or not note.strip() or not units:
        raise RolloutError("a release is deployed, confirmed or rolled back at units, with a note")
    with connection.transaction():
        read_rows(connection, "desk", "lock_release", release=code)
        read_release(connection, code, at)
        for unit in sorted(set(units)):
            last = read_rows(connection, "desk", "release_standing", release=code, unit=unit)
            before = last[0]["action"] if last else None
            if before not in _AFTER[action]:
                raise RolloutError(f"{action} of {code} at {unit} isn't possible after {before or 'nothing'}")
            try:
                add_row(
                    connection, "desk", "add_release_step",
                    release=code, action=action, unit=unit, note=note, at=at, actor=by,
                )  # fmt: skip
            except UnknownCodeError:
                raise NotFoundError(f"no organisation {unit}") from None
    return read_release(connection, code, at)


def read_release(connection: Connection, code: str, at: datetime) -> Row:
    """A release as it was at an instant; `unconfirmed` names the units of the roll-out that have not confirmed it.

    Raises
    ------
    NotFoundError
        When there is none of this code.
    """
    found = read_rows(connection, "desk", "releases", code=code, at=at, after=0, limit=1)
    if not found:
        raise NotFoundError(f"no release {code}")
    confirmed = set(found[0]["confirmed"])
    return {**found[0], "unconfirmed": [unit for unit in read_units(connection, at) if unit not in confirmed]}


def read_units(connection: Connection, at: datetime) -> list[str]:
    """Codes of the units of the roll-out: those that lie below another."""
    return [row["code"] for row in read_rows(connection, "desk", "units", at=at)]
