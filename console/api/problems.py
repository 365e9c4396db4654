"""Errors as problem details, RFC 9457: an answer that isn't a success has a type, a title and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

MEDIA_TYPE: Final = "application/problem+json"
_TITLES: Final = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "No such method here",
    409: "Not possible now",
    412: "Changed by somebody else",
    422: "Invalid request",
    428: "If-Match is missing",
    429: "Too many requests",
    503: "The store doesn't answer",
}
_MAX_ERRORS = 20
_IF_MATCH = ("header", "If-Match")


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str
    detail: str


class Problem(BaseModel):
    """A problem, RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route may answer besides its success, for its description; 401, 403, 422, 429 and 503 always."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    wanted = sorted({401, 403, 422, 429, 503, *statuses})
    return {status: {"description": _TITLES[status], "content": {MEDIA_TYPE: schema}} for status in wanted} | {
        # Nothing answers so; it brings the schema into the description.
        "default": {"description": "Problem", "model": Problem, "content": {MEDIA_TYPE: schema}}
    }


async def method_not_allowed(request: Request, _: Exception) -> Response:
    """The answer to a method that no route of a path has; `Allow` names those of all of them, not of the first."""
    found = [route for route in request.app.routes if isinstance(route, Route)]
    matching = [route for route in found if route.matches(request.scope)[0] is not Match.NONE]
    allowed = ", ".join(sorted({method for route in matching for method in route.methods or ()}))
    return _answer(405, f"{request.method} isn't one of: {allowed}", {"Allow": allowed})


class ProblemRoute(APIRoute):
    """A route whose errors are problems."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler that FastAPI makes, with its errors turned into answers."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except ProblemError as error:
                return _answer(error.status, error.detail, error.headers)
            except RequestValidationError as error:
                if any(each["type"] == "missing" and each["loc"] == _IF_MATCH for each in error.errors()):
                    return _answer(428, "say with If-Match which version you have read: the ETag of your last GET", {})
                fields = [_field(each) for each in error.errors()[:_MAX_ERRORS]]
                return _answer(422, "the request doesn't say what it must", {}, fields)
            except HTTPException as error:
                return _answer(error.status_code, str(error.detail), dict(error.headers or {}))

        return handled


def _field(error: Mapping[str, Any]) -> FieldError:
    return FieldError(field=".".join(str(part) for part in error["loc"]), detail=str(error["msg"]))


def _answer(status: int, detail: str, headers: Mapping[str, str], errors: list[FieldError] | None = None) -> Response:
    title = _TITLES.get(status, "Error")
    problem = Problem(title=title, status=status, detail=detail, errors=errors or [])
    return JSONResponse(problem.model_dump(), status, headers=dict(headers), media_type=MEDIA_TYPE)
