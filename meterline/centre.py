"""Speaks with the centre's API from a site that has a token and nothing else."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import httpx

_TIMEOUT_S = 10.0
_CLOCK_SAMPLES = 5


class CentreError(RuntimeError):
    """The centre doesn't answer, or refuses; the message says why."""


class Centre:
    """The API of the centre. Answers are never followed elsewhere.

    Parameters
    ----------
    url
        Address of the console.
    ca_file
        Authority that its certificate is of; None: those that the machine trusts.
    """

    def __init__(self, url: str, token: str, ca_file: Path | None = None) -> None:
        self._client = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/v1/rollout/",
            headers={"authorization": f"Bearer {token}"},
            verify=True if ca_file is None else _context(ca_file),
            timeout=_TIMEOUT_S,
            follow_redirects=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def clock_offset(self, clock: Callable[[], float] = time.time) -> tuple[float, float]:
        """Offset of a clock from the centre's and its error (±), in seconds: of several questions the quickest.

        The centre reads its clock at some moment between the question and the answer, so half of the time between is
        what the offset is known to within, however unlike the two ways are (as in NTP, RFC 5905).
        """
        samples = []
        for _ in range(_CLOCK_SAMPLES):
            began, begin = clock(), time.monotonic()
            centre = datetime.fromisoformat(self._ask("GET", "clock")["now"]).timestamp()
            half = (time.monotonic() - begin) / 2
            samples.append((half, began + half - centre))
        error, offset = min(samples)
        return offset, error

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Post to a route of the roll-out.

        Raises
        ------
        CentreError
            When the centre can't be reached, or refuses.
        """
        return self._ask("POST", path, body)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CentreError(f"the centre can't be reached: {str(error) or type(error).__name__}") from None
        try:
            found = answer.json()
        except ValueError:
            raise CentreError(f"the centre answers {answer.status_code} without JSON: is this its console?") from None
        if not answer.is_success or not isinstance(found, dict):
            detail = found.get("detail") if isinstance(found, dict) else None
            raise CentreError(f"the centre refuses ({answer.status_code}): {detail or answer.reason_phrase}")
        return found


def _context(ca_file: Path) -> Any:
    return ssl.create_default_context(cafile=str(ca_file))
