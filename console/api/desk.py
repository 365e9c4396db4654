"""What routes of the alert desk share: who asks, the store, versions as ETags, pages."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import psycopg
from fastapi import Depends, Header, Path, Query, Request, Response, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from psycopg_pool import ConnectionPool, PoolTimeout
from pydantic import AwareDatetime, BeforeValidator, StringConstraints

from alerts.lifecycle import IllegalTransitionError
from alerts.operate import OperationError, UnknownAlertError, VersionConflictError
from alerts.work_orders import UnknownOrderError
from console.api.problems import ProblemError
from console.api.tokens import Principal, RateLimiter, TokenFileError, Tokens
from store.connection import Connection

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}")


def _written_out(value: object) -> object:
    if not isinstance(value, str) or not _TIME.match(value):
        raise ValueError("a time after RFC 3339, with its zone")
    return value


def _whole(value: object) -> object:
    # JSON Schema counts 3.0 among the integers, and neither true nor "3".
    if isinstance(value, bool | str):
        raise ValueError("a whole number")  # noqa: TRY004  # pydantic makes an answer of it
    return value


#: Of a whole number in a body.
Whole = BeforeValidator(_whole)
#: A line of text, as people and systems name things.
Word = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
#: A kind of finding.
Kind = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
#: Text of several lines.
Prose = Annotated[str, StringConstraints(min_length=1, max_length=1_000, pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")]
#: The same of whole documents: minutes, norms, entries of knowledge.
LongProse = Annotated[str, StringConstraints(min_length=1, max_length=20_000, pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")]
Number = Annotated[int, Path(ge=1, le=2**53)]
After = Annotated[int, Query(ge=0, le=2**53, description="`next` of the page before; 0 for the first")]
Limit = Annotated[int, Query(ge=1, le=200)]
IfMatch = Annotated[
    str, Header(alias="If-Match", description="ETag of what was read", pattern=r'^"[0-9]{1,9}(-[0-9]{1,20})?"$')
]
IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match", max_length=100)]
#: RFC 3339; a number of seconds isn't taken for one.
Instant = Annotated[AwareDatetime, BeforeValidator(_written_out)]

#: What tokens of the roll-out alone may ask for.
_ROLLOUT: Final = ("/api/v1/rollout/", "/rollout")
_BEARER: Final = HTTPBearer(auto_error=False, description="A token of the console's file of tokens")


@dataclass(frozen=True, slots=True)
class Desk:
    """What the routes work with.

    Attributes
    ----------
    pool
        Connections of the application role, in autocommit.
    strangers
        How often one address may come with no token, or a wrong one.
    """

    pool: ConnectionPool[Connection]
    tokens: Tokens
    limiter: RateLimiter
    strangers: RateLimiter
    now: Callable[[], datetime]

    def authenticate(
        self,
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
    ) -> Principal:
        """Who asks; ends the request when nobody known does, or too often."""
        try:
            found = None if credentials is None else self.tokens.find(credentials.credentials, self.now())
        except TokenFileError:
            raise ProblemError(503, "the file of tokens can't be used", {"Retry-After": "60"}) from None
        if found is None:
            address = "" if request.client is None else request.client.host
            _wait(self.strangers.wait_s(address))
            raise ProblemError(401, "a known bearer token is needed", {"WWW-Authenticate": "Bearer"})
        _wait(self.limiter.wait_s(found.name))
        if found.sees_only_the_rollout and not request.url.path.startswith(_ROLLOUT):
            raise forbid("this token is for the roll-out")
        return found

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection, for one request; what the store or the rules refuse ends it with a problem."""
        try:
            with self.pool.connection() as connection:
                yield connection
        except (UnknownAlertError, UnknownOrderError) as error:
            raise ProblemError(404, str(error)) from None
        except VersionConflictError as error:
            raise ProblemError(412, str(error)) from None
        except (IllegalTransitionError, OperationError) as error:
            raise ProblemError(409, str(error)) from None
        except (PoolTimeout, psycopg.OperationalError):
            raise ProblemError(503, "try again in a moment", {"Retry-After": "5"}) from None


def _wait(seconds: float) -> None:
    if seconds > 0:
        raise ProblemError(429, "too many requests", {"Retry-After": str(math.ceil(seconds))})


def forbid(detail: str) -> ProblemError:
    """A problem of rights."""
    return ProblemError(403, detail)


def etag_of(version: int, updated_at: datetime | None = None) -> str:
    """A version as an ETag; with the time of its figures, where these change without one."""
    if updated_at is None:
        return f'"{version}"'
    return f'"{version}-{(updated_at - _EPOCH) // timedelta(microseconds=1)}"'


def version_of(if_match: str) -> int:
    """The version that a writer has read; that its figures have changed since doesn't matter."""
    return int(if_match.strip('"').partition("-")[0])


def with_etag(
    response: Response, version: int, if_none_match: str | None = None, updated_at: datetime | None = None
) -> bool:
    """Mark an answer with its version; whether the asker has it already, so that 304 says enough."""
    tag = etag_of(version, updated_at)
    response.headers["ETag"] = tag
    return if_none_match is not None and if_none_match.strip() == tag


def next_of(rows: list[Any], limit: int, number: Callable[[Any], int]) -> int | None:
    """Where the next page begins; None after the last one."""
    return number(rows[-1]) if len(rows) == limit else None


def asker(desk: Desk) -> Any:
    """Dependency: who asks."""
    return Depends(desk.authenticate)
