"""An HTTP server that takes what Grafana's documented API takes, and refuses everything else.

It isn't a Grafana: it holds requests against the reference (HTTP API: health, folder, dashboard, data source,
annotations) and keeps what it was given.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

TOKEN = "glsa_of-a-test"

Answer = tuple[int, dict[str, Any]]


@dataclass
class GrafanaServer:
    """What is there, what was asked, and how to be."""

    url: str = ""
    version: str = "12.2.0"
    database: str = "ok"
    folders: dict[str, str] = field(default_factory=dict)
    dashboards: dict[str, dict[str, Any]] = field(default_factory=dict)
    folder_of: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=lambda: {"meterline": "OK"})
    annotations: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    organisations: set[str | None] = field(default_factory=set)
    provisioned: bool = False
    garbage: bytes | None = None

    def answer(self, method: str, path: str, body: Any) -> Answer:  # noqa: C901 - a line a call
        """As the reference says."""
        parts = path.strip("/").split("/")
        match method, parts:
            case "GET", ["api", "health"]:
                return 200, {"commit": "c", "database": self.database, "version": self.version}
            case "GET", ["api", "folders", uid]:
                if uid not in self.folders:
                    return 404, {"message": "folder not found", "status": "not-found"}
                return 200, {"id": 1, "uid": uid, "title": self.folders[uid]}
            case "POST", ["api", "folders"]:
                return self._make_folder(body)
            case "GET", ["api", "dashboards", "uid", uid]:
                if uid not in self.dashboards:
                    return 404, {"message": "Dashboard not found"}
                return 200, {"dashboard": self.dashboards[uid], "meta": {"folderUid": self.folder_of[uid]}}
            case "POST", ["api", "dashboards", "db"]:
                return self._save(body)
            case "GET", ["api", "datasources", "uid", uid]:
                if uid not in self.sources:
                    return 404, {"message": "Data source not found"}
                return 200, {"id": 1, "uid": uid, "name": "Meterline", "type": "grafana-postgresql-datasource"}
            case "GET", ["api", "datasources", "uid", uid, "health"]:
                if self.sources[uid] != "OK":
                    return 400, {"message": self.sources[uid], "status": "ERROR"}
                return 200, {"message": "Database Connection OK", "status": "OK"}
            case "POST", ["api", "annotations"]:
                return self._annotate(body)
            case _:
                return 404, {"message": "Not found"}

    def _make_folder(self, body: Any) -> Answer:
        if (
            not isinstance(body, dict)
            or set(body) - {"uid", "title", "description", "parentUid"}
            or not body.get("title")
        ):
            return 400, {"message": "bad request data"}
        if body["uid"] in self.folders:
            return 412, {"message": "a folder with that UID already exists"}
        self.folders[body["uid"]] = body["title"]
        return 200, {"id": 1, **body}

    def _save(self, body: Any) -> Answer:
        known = {"dashboard", "folderId", "folderUid", "message", "overwrite"}
        if not isinstance(body, dict) or set(body) - known or not isinstance(body.get("dashboard"), dict):
            return 400, {"message": "bad request data"}
        dashboard = body["dashboard"]
        uid = dashboard.get("uid") or ""
        if not dashboard.get("title") or not 1 <= len(uid) <= 40 or not uid.replace("-", "").replace("_", "").isalnum():
            return 400, {"message": "Dashboard title cannot be empty"}
        if self.provisioned:
            return 400, {"message": "Cannot save provisioned dashboard"}
        if body["folderUid"] not in self.folders:
            return 400, {"message": "folder not found"}
        before = self.dashboards.get(uid)
        if before is not None and not body.get("overwrite"):
            return 412, {"message": "The dashboard has been changed by someone else", "status": "version-mismatch"}
        if dashboard.get("id") is not None:
            return 404, {"message": "Dashboard not found", "status": "not-found"}
        version = 1 if before is None else before["version"] + 1
        # It adds numbers and fields of its own.
        kept = {"editable": True, "fiscalYearStartMonth": 0, **dashboard, "id": 17, "version": version}
        self.dashboards[uid] = kept
        self.folder_of[uid] = body["folderUid"]
        return 200, {"id": 17, "uid": uid, "url": f"/d/{uid}", "status": "success", "version": version, "slug": "s"}

    def _annotate(self, body: Any) -> Answer:
        known = {"dashboardUID", "panelId", "time", "timeEnd", "tags", "text"}
        if not isinstance(body, dict) or set(body) - known or not body.get("text"):
            return 400, {"message": "Failed to save annotation"}
        times = [at for at in (body.get("time"), body.get("timeEnd")) if type(at) is int and at > 1_000_000_000_000]
        if len(times) != 2 or times[0] > times[1]:
            return 400, {"message": "Failed to save annotation"}
        if body.get("dashboardUID") is not None and body["dashboardUID"] not in self.dashboards:
            return 404, {"message": "Dashboard not found"}
        self.annotations.append(body)
        return 200, {"message": "Annotation added", "id": len(self.annotations)}


@contextlib.contextmanager
def serve(prefix: str = "") -> Iterator[GrafanaServer]:
    """A server on a port of its own while the block runs."""
    state = GrafanaServer()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            path = urlsplit(self.path).path
            state.requests.append((self.command, path))
            state.organisations.add(self.headers.get("X-Grafana-Org-Id"))
            status, answer = self._answer(path, raw)
            data = state.garbage if state.garbage is not None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()
            self.wfile.write(data)

        def _answer(self, path: str, raw: bytes) -> Answer:
            if not path.startswith(f"{prefix}/api/"):
                return 302, {}
            path = path.removeprefix(prefix)
            if path != "/api/health" and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return 401, {"message": "Invalid API key"}
            if raw and self.headers.get("Content-Type") != "application/json":
                return 400, {"message": "bad request data"}
            return state.answer(self.command, path, json.loads(raw) if raw else None)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}{prefix}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
