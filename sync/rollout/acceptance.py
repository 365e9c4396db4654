"""What the acceptance of a site (验收) looks at and comes to, as a text that is signed and filed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec

from store.connection import Connection
from store.rollout import Row, TakenNumberError, UnknownCodeError, add_row, read_rows
from sync.rollout.errors import NotFoundError, RolloutError
from sync.rollout.signing import Signed, prove

Area = Literal["hardware", "software", "database", "middleware", "interfaces"]
AREAS: tuple[Area, ...] = ("hardware", "software", "database", "middleware", "interfaces")
MAX_BYTES = 1 << 20
#: How far a site's clock may be ahead of the centre's; acceptance itself looks how well it is kept.
MAX_AHEAD = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what was found, and what it had to be; empty where it is only told."""

    area: Area
    name: str
    ok: bool
    found: str
    wanted: str = ""


class _Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    area: Area
    name: str
    ok: bool
    found: str
    wanted: str


class AcceptanceReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The text that is signed, read again."""

    site: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    examined_at: Annotated[datetime, msgspec.Meta(tz=True)]
    examined_by: str
    release: str
    passed: bool
    checks: Annotated[list[_Check], msgspec.Meta(min_length=1, max_length=1_000)]


def write_report(site: str, examined_at: datetime, by: str, release: str, checks: Sequence[Check]) -> str:
    """What was found at a site, as text; it passes when every check does."""
    told = {
        "site": site, "examined_at": examined_at.isoformat(), "examined_by": by, "release": release,
        "passed": all(check.ok for check in checks), "checks": [asdict(check) for check in checks],
    }  # fmt: skip
    return json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def read_report(text: str) -> AcceptanceReport:
    """Read a report, and check that it agrees with itself.

    Raises
    ------
    RolloutError
        When it isn't one, or says that it passed although a check did not.
    """
    if len(text.encode()) > MAX_BYTES:
        raise RolloutError("a report of an acceptance has at most a mebibyte")
    try:
        report = msgspec.json.decode(text.encode(), type=AcceptanceReport)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RolloutError(f"not the report of an acceptance: {error}") from None
    if report.passed != all(check.ok for check in report.checks):
        raise RolloutError("the report contradicts its own checks")
    return report


def file_acceptance(connection: Connection, signed: Signed, public_key_pem: bytes, by: str, at: datetime) -> Row:
    """File a report that the site's key proves; the same again is refused. Returns it without its checks.

    Raises
    ------
    RolloutError
        When the signature is wrong, or the report is from the future, or filed already.
    """
    key_id = prove(signed, public_key_pem)
    report = read_report(signed.text)
    if report.examined_at > at + MAX_AHEAD:
        raise RolloutError("the report says that it is of a later time than now: the site's clock is wrong")
    values = {"site": report.site, "examined_at": report.examined_at, "passed": report.passed}
    try:
        number = add_row(
            connection, "site", "add_acceptance",
            **values, report=signed.text, signature=signed.signature, key_id=key_id, at=at, actor=by,
        )  # fmt: skip
    except UnknownCodeError:
        raise NotFoundError(f"no organisation {report.site}") from None
    except TakenNumberError:
        raise RolloutError("this report is filed already") from None
    return {"acceptance_id": number, **values, "key_id": key_id}


def list_acceptances(
    connection: Connection, at: datetime, unit: str | None = None, after: int = 0, limit: int = 200
) -> list[Row]:
    """Acceptances as known at an instant, the newest first, without their reports."""
    return read_rows(connection, "site", "acceptances", at=at, unit=unit, after=after, limit=limit)


def read_acceptance(connection: Connection, number: int, at: datetime) -> Row:
    """One of them with its report and signature, as they were filed.

    Raises
    ------
    NotFoundError
        When there is none of this number.
    """
    found = read_rows(connection, "site", "acceptance", acceptance_id=number, at=at)
    if not found:
        raise NotFoundError(f"no acceptance {number}")
    return found[0]
