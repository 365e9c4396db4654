"""The one place that talks to a Grafana: grafana-client's calls behind the few that Meterline makes.

Its answers are theirs, so what goes wrong there is a `GrafanaError` with a sentence for the user, never a traceback.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import requests
from grafana_client import GrafanaApi
from grafana_client.client import GrafanaClientError, GrafanaException, TokenAuth

#: Releases whose dashboards and calls were looked up.
SUPPORTED = range(11, 14)
_TIMEOUT_S = 10.0
_NOT_FOUND = 404
#: What Grafana adds to a dashboard by itself.
_THEIRS = frozenset({"id", "version", "iteration"})
#: What it adds below: the release that drew a panel, and of a variable what was chosen last and could be.
_ADDED = re.compile(r"(\.pluginVersion|templating\.list\[\d+\]\.(current|options|skipUrlSync))\Z")
#: Differences that are told of one board.
_MOST = 200


class GrafanaError(RuntimeError):
    """Grafana can't be reached, or refuses; the message says which and why."""


class Pushed(StrEnum):
    """What became of a board."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Health:
    """What a Grafana says of itself."""

    version: str
    database: str

    @property
    def supported(self) -> bool:
        """Whether its release is one that the boards are made for."""
        major = self.version.partition(".")[0]
        return major.isdecimal() and int(major) in SUPPORTED


class Grafana:
    """A Grafana, as a service account with the role Editor.

    Parameters
    ----------
    url
        Address of its front page, with a path where it has one. Without TLS only on this machine, unless
        `allow_http`: a token that was read on the way may be used by anybody.
    token
        Of a service account.
    organisation
        Number of the organisation; None: the token's own.

    Raises
    ------
    GrafanaError
        When the address is none that may be called.
    """

    def __init__(
        self,
        url: str,
        token: str,
        organisation: int | None = None,
        *,
        allow_http: bool = False,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        parts = urlsplit(url)
        if (
            parts.scheme not in {"http", "https"}
            or not parts.hostname
            or parts.username
            or parts.query
            or parts.fragment
        ):
            raise GrafanaError(f"not the address of a Grafana: {url}")
        if parts.scheme == "http" and not allow_http and not _is_here(parts.hostname):
            raise GrafanaError(f"{url} has no TLS, and the token could be read on its way: use https, or --allow-http")
        prefix = parts.path.strip("/")
        self._url = url
        self._api = GrafanaApi(
            TokenAuth(token),
            host=f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname,
            port=parts.port,
            url_path_prefix=f"{prefix}/" if prefix else "",
            protocol=parts.scheme,
            timeout=timeout_s,
            organization_id=organisation,
        )
        # Credentials of the machine's own files have no place here, and a redirect no token.
        self._api.client.s.trust_env = False
        self._api.client.s.max_redirects = 0

    def health(self) -> Health:
        """Its release, and whether its own database answers."""
        answer = self._call(self._api.health.check)
        return Health(str(answer.get("version", "")), str(answer.get("database", "")))

    def check_source(self, uid: str) -> str | None:
        """Why a data source doesn't work; None when it does."""
        answer = self._find(lambda: self._api.datasource.get_datasource_by_uid(uid))
        if answer is None:
            return "there is no such data source"
        try:
            state = self._call(lambda: self._api.datasource.health(uid))
        except GrafanaError as error:
            return str(error)
        return None if state.get("status") == "OK" else str(state.get("message", state))

    def ensure_folder(self, uid: str, title: str) -> None:
        """Make a folder where it is missing."""
        if self._find(lambda: self._api.folder.get_folder(uid)) is None:
            self._call(lambda: self._api.folder.create_folder(title, uid))

    def read(self, uid: str) -> dict[str, Any] | None:
        """A dashboard as it is there; None where there is none of that uid."""
        answer = self._find(lambda: self._api.dashboard.get_dashboard(uid))
        if answer is None:
            return None
        found = answer.get("dashboard")
        if not isinstance(found, dict):
            raise GrafanaError(f"{self._url} answers with something that is no dashboard")
        return found

    def push(self, text: str, folder_uid: str, message: str) -> Pushed:
        """Bring a dashboard to what `text` (JSON) says; nothing is written where it is so already."""
        wanted = json.loads(text)
        there = self.read(wanted["uid"])
        if there is not None and not differences(wanted, there):
            return Pushed.UNCHANGED
        body = {
            "dashboard": {**wanted, "id": None},
            "folderUid": folder_uid,
            "overwrite": True,
            "message": message,
        }
        self._call(lambda: self._api.dashboard.update_dashboard(body))
        return Pushed.CREATED if there is None else Pushed.UPDATED

    def annotate(
        self, text: str, since: datetime, until: datetime | None, tags: Sequence[str], board: str | None = None
    ) -> int:
        """Mark an instant or a time on one board, or by its tags on all; returns the annotation's number."""
        answer = self._call(
            lambda: self._api.annotations.add_annotation(
                time_from=_ms(since),
                time_to=_ms(until or since),
                tags=list(tags),
                text=text,
                dashboard_uid=board,
            )
        )
        return int(answer["id"])

    def _find(self, call: Callable[[], Any]) -> dict[str, Any] | None:
        try:
            return self._call(call)
        except GrafanaError as error:
            cause = error.__cause__
            if isinstance(cause, GrafanaClientError) and cause.status_code == _NOT_FOUND:
                return None
            raise

    def _call(self, call: Callable[[], Any]) -> dict[str, Any]:
        try:
            answer = call()
        except GrafanaException as error:
            raise GrafanaError(f"{self._url} refuses: {str(error.message)[:300]}") from error
        except requests.exceptions.JSONDecodeError as error:
            raise GrafanaError(f"{self._url} doesn't answer as a Grafana does") from error
        except requests.RequestException as error:
            raise GrafanaError(f"{self._url} can't be reached: {type(error).__name__}") from error
        if not isinstance(answer, dict):
            raise GrafanaError(f"{self._url} doesn't answer as a Grafana does")
        return answer


def differences(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """Where a dashboard is otherwise than wanted, as paths, at most 200.

    What Grafana adds by itself is none; nor is what is there unasked, but null, empty, zero or off.
    """
    found: list[str] = []
    for path in _differences(wanted, there, ""):
        found.append(path)
        if len(found) >= _MOST:
            break
    return found


def _differences(wanted: Any, there: Any, path: str) -> Iterator[str]:
    if isinstance(wanted, dict) and isinstance(there, dict):
        for key in wanted.keys() - _THEIRS if not path else wanted.keys():
            # Null and absent are the same to Grafana.
            if wanted[key] is not None or there.get(key) is not None:
                yield from _differences(wanted[key], there.get(key), f"{path}.{key}" if path else key)
        # At the top Grafana keeps much of its own; below, what is switched on and isn't ours was done by somebody.
        extra = sorted(there.keys() - wanted.keys()) if path else []
        yield from (f"{path}.{key}" for key in extra if there[key] and not _ADDED.search(f"{path}.{key}"))
    elif isinstance(wanted, list) and isinstance(there, list):
        if len(wanted) != len(there):
            yield f"{path}: {len(wanted)} wanted, {len(there)} there"
            return
        for index, (one, other) in enumerate(zip(wanted, there, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif wanted != there:
        yield path


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
