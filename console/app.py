"""The console as an ASGI application: pages, the boards' API, and whatever other routers it is given."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Match

from console.api import add_routes
from console.api.boards import boards_router
from console.live import Hub
from console.security import SecurityHeaders
from deploy.boards.model import Link

STATIC: Final = Path(__file__).parent / "static"


@dataclass(frozen=True, slots=True)
class AppOptions:
    """How the console presents itself.

    Parameters
    ----------
    time_zone
        IANA name of the zone in which times are shown: the utility's.
    hosts
        Names under which it may be asked for; another site can't reach it through a name of its own.
    """

    time_zone: str = "UTC"
    hosts: Sequence[str] = ("127.0.0.1", "localhost")


def create_app(hub: Hub, options: AppOptions, routers: Iterable[APIRouter] = ()) -> FastAPI:
    """The application.

    Parameters
    ----------
    hub
        Asks for boards; it is closed with the application.
    options
        How the console presents itself.
    routers
        Of further subjects, such as alerts; each has a path of its own under ``/api``.
    """

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        await hub.close()

    # Pages of documentation would fetch their scripts from elsewhere; the description itself stays.
    app = FastAPI(
        title="Meterline console", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json", lifespan=life
    )

    def leads(link: Link) -> bool:
        return link.board in hub.boards if link.path is None else _has_page(app, link.path)

    app.include_router(boards_router(hub, options.time_zone, leads))
    add_routes(app, routers)
    app.include_router(_pages(hub))
    if _has_page(app, "/api/v1/alerts/{alert_id}"):
        # Where alerts can be acted on there is a page to do so.
        app.include_router(_alert_page(options.time_zone))
    app.mount("/static", _Files(directory=STATIC), name="static")
    app.add_middleware(GZipMiddleware, minimum_size=1_000)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(options.hosts))
    app.add_middleware(SecurityHeaders)
    return app


def _has_page(app: FastAPI, path: str) -> bool:
    """Whether a route answers `path`; a place in braces may be anything."""
    asked = {"type": "http", "method": "GET", "path": re.sub(r"\{\w+\}", "0", path), "headers": []}
    return any(route.matches(asked)[0] is Match.FULL for route in app.routes)


def _pages(hub: Hub) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def first(request: Request) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/boards/{next(iter(hub.boards))}{query}")

    @router.get("/boards/{uid}")
    def board(uid: str) -> Response:
        # The page is the same for every board: its script reads the address.
        return FileResponse(STATIC / "board.html", 200 if uid in hub.boards else 404)

    @router.get("/healthz")
    def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    return router


def _alert_page(time_zone: str) -> APIRouter:
    """The page of any alert, or of a group's: its script reads the number in the address, and the zone in the head."""
    router = APIRouter(include_in_schema=False)
    text = (STATIC / "alert.html").read_text(encoding="utf-8")
    page = text.replace('name="time-zone" content="UTC"', f'name="time-zone" content="{escape(time_zone)}"')

    @router.get("/alerts")
    @router.get("/alerts/{alert_id}")
    def alert() -> Response:
        return HTMLResponse(page)

    return router


class _Files(StaticFiles):
    """The console's own files: kept by browsers, and asked for again with their mark."""

    def file_response(self, *arguments: object, **options: object) -> Response:
        answer = super().file_response(*arguments, **options)  # type: ignore[arg-type]  # passed on as they came
        answer.headers["Cache-Control"] = "no-cache"
        return answer
