"""Who asks: bearer tokens from a file that holds only their hashes, and how often each may ask."""

from __future__ import annotations

import hashlib
import threading
import tomllib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from alerts.routing import Role

_HASH_LENGTH = 64
_KEPT = 10_000
_MAX_TOKEN = 200


class TokenFileError(ValueError):
    """The file of tokens can't be used; the message says why."""


class Right(StrEnum):
    """Roles of tokens, beside those that act on alerts."""

    REVENUE = "revenue"  # reads a meter's series for a finding that is assigned to it
    OPERATION = "operation"  # reviews changes of the grid model for operation and maintenance (运检)
    UNIT = "unit"  # of the roll-out: sees its own organisation, which the token names
    SUPPORT = "support"  # works on tickets of the roll-out
    ADMIN = "admin"


_OF_THE_ROLLOUT: Final = frozenset({Right.UNIT, Right.SUPPORT})
ROLES: Final = frozenset({*(role.value for role in Role), *(right.value for right in Right)})


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks."""

    name: str
    roles: frozenset[str]
    expires_at: datetime | None = None
    unit: str | None = None
    """Code of the organisation that role `unit` sees."""

    @property
    def is_admin(self) -> bool:
        """Whether it may act on every alert."""
        return Right.ADMIN in self.roles

    def may_act_for(self, role: str) -> bool:
        """Whether it may act on alerts of a role."""
        return self.is_admin or role in self.roles

    @property
    def sees_only_the_rollout(self) -> bool:
        """Units and support have nothing to do with alerts."""
        return self.roles <= _OF_THE_ROLLOUT

    @property
    def sees_only_outages(self) -> bool:
        """Customer service answers who is out, and needs no more; roles that see no alerts add nothing to it."""
        return self.roles - _OF_THE_ROLLOUT == {Role.CUSTOMER_SERVICE}

    @property
    def sees_evidence(self) -> bool:
        """Whether it sees what a finding rests on, which may name customers."""
        return bool(self.roles & {Right.REVENUE, Right.ADMIN})


def hash_of(token: str) -> str:
    """How a token stands in the file. It has 256 random bits: stretching would guard nothing."""
    return hashlib.sha256(token.encode()).hexdigest()


class Tokens:
    """The tokens of a file; read again when it has changed.

    Raises
    ------
    TokenFileError
        When it can't be read, or doesn't say what it must.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._by_hash: Mapping[str, Principal] = {}
        self._refresh()

    def find(self, token: str, now: datetime) -> Principal | None:
        """Who has a token; None for an unknown one or one that has expired."""
        if len(token) > _MAX_TOKEN:
            return None
        self._refresh()
        found = self._by_hash.get(hash_of(token))
        return None if found is None or (found.expires_at is not None and found.expires_at <= now) else found

    def _refresh(self) -> None:
        with self._lock:
            try:
                status = self._path.stat()
                stamp = (status.st_mtime_ns, status.st_size)
                if stamp == self._stamp:
                    return
                self._by_hash = read_tokens(self._path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                # A file that can't be used lets nobody in: to take a token back must not fail in silence.
                self._by_hash, self._stamp = {}, None
                reason = error.strerror if isinstance(error, OSError) else error
                raise TokenFileError(f"{self._path}: {reason}") from None
            self._stamp = stamp


def read_tokens(text: str) -> dict[str, Principal]:
    """Principals by the hash of their token.

    Raises
    ------
    TokenFileError
        When an entry isn't complete, or two have one name or one hash.
    """
    try:
        entries = tomllib.loads(text).get("tokens", [])
    except ValueError as error:
        raise TokenFileError(f"the file of tokens is not TOML: {error}") from None
    found: dict[str, Principal] = {}
    names: set[str] = set()
    for number, entry in enumerate(entries, start=1):
        name, digest, principal = _entry(number, entry)
        if name in names or digest in found:
            raise TokenFileError(f"token {number}: another has its name or its hash")
        names.add(name)
        found[digest] = principal
    return found


def _entry(number: int, entry: Mapping[str, Any]) -> tuple[str, str, Principal]:
    name, digest, roles = entry.get("name"), entry.get("sha256"), entry.get("roles")
    if not isinstance(name, str) or not name or len(name) > _MAX_TOKEN:
        raise TokenFileError(f"token {number} has no name")
    if not isinstance(digest, str) or len(digest) != _HASH_LENGTH or set(digest) - set("0123456789abcdef"):
        raise TokenFileError(f"token {number}: sha256 is not 64 hexadecimal digits")
    if not isinstance(roles, list) or not roles or not set(roles) <= ROLES:
        raise TokenFileError(f"token {number}: roles are one or more of {', '.join(sorted(ROLES))}")
    expires = entry.get("expires")
    if expires is not None and (not isinstance(expires, datetime) or expires.tzinfo is None):
        raise TokenFileError(f"token {number}: expires is a time with its zone")
    unit = entry.get("unit")
    if (Right.UNIT in roles) != isinstance(unit, str) or unit == "":
        raise TokenFileError(f"token {number}: role unit, and no other, names an organisation as unit")
    return name, digest, Principal(name, frozenset(roles), expires, unit)


@dataclass(slots=True)
class RateLimiter:
    """A bucket for each who asks: so many at once, and so many a second after that.

    Attributes
    ----------
    clock
        Seconds, rising.
    """

    per_s: float
    burst: int
    clock: Callable[[], float]
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def wait_s(self, who: str) -> float:
        """0 when one more may be asked now, which is counted; else in how many seconds."""
        now = self.clock()
        with self._lock:
            left, at = self._buckets.pop(who, (float(self.burst), now))
            left = min(float(self.burst), left + (now - at) * self.per_s)
            allowed = left >= 1
            self._buckets[who] = (left - 1 if allowed else left, now)
            # Who asked longest ago has a full bucket again.
            if len(self._buckets) > _KEPT:
                self._buckets.popitem(last=False)
            return 0.0 if allowed else (1 - left) / self.per_s


def utc_now() -> datetime:
    """The clock of requests."""
    return datetime.now(UTC)
