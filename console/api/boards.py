"""`/api/boards`: what boards there are, what can be chosen on one, and its panels live."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse

from console.asking import AskError
from console.live import BusyError, Hub, Question
from console.payload import describe
from console.window import Range, RangeError
from console.words import words
from deploy.boards.language import Language, in_language
from deploy.boards.model import Board, Link

_PREFIX = "var-"
_LONGEST_VALUE = 200
_MOST_CHOICES = 2_000

LanguageOption = Annotated[Language, Query(alias="lang", description="Language of titles")]
SinceOption = Annotated[str | None, Query(alias="from", max_length=40, description="now-6h, or ISO 8601")]
UntilOption = Annotated[str, Query(alias="to", max_length=40, description="now, or ISO 8601")]


def boards_router(hub: Hub, time_zone: str, leads: Callable[[Link], bool]) -> APIRouter:
    """Routes of the boards.

    Parameters
    ----------
    hub
        Asks for boards.
    time_zone
        In which times are shown, an IANA name.
    leads
        Whether there is what a link leads to.
    """
    router = APIRouter(prefix="/api/boards", tags=["boards"])

    @router.get("")
    def boards(lang: LanguageOption = Language.ENGLISH) -> list[dict[str, str]]:
        """Every board: uid, title and description, in the order of the menu."""
        shown = [in_language(board, lang) for board in hub.boards.values()]
        return [{"uid": board.uid, "title": board.title, "description": board.description} for board in shown]

    @router.get("/{uid}")
    async def board(
        uid: str,
        request: Request,
        lang: LanguageOption = Language.ENGLISH,
        since: SinceOption = None,
        until: UntilOption = "now",
    ) -> dict[str, Any]:
        """A board's definition, what can be chosen of each variable, and what is chosen.

        A variable is chosen with a parameter `var-NAME`; one that is left out, or that there is no more, takes its
        first choice.
        """
        found = in_language(_board(hub, uid), lang)
        chosen, choices = await _choose(hub, found, _named(request), Range(since or found.since, until))
        return {
            **describe(found, leads),
            "values": chosen,
            "choices": choices,
            "time_zone": time_zone,
            "language": lang.value,
            "refresh_s": hub.refresh_s(found),
            "words": words(lang),
        }

    @router.get("/{uid}/live", response_class=StreamingResponse)
    async def live(uid: str, request: Request, since: SinceOption = None, until: UntilOption = "now") -> Response:
        """Server-sent events: `panel` with an answer, `trouble`, `marks` and `round`; see docs/reference/console.md."""
        found = _board(hub, uid)
        given = _named(request)
        names = [variable.name for variable in found.variables]
        if set(given) != set(names):
            raise HTTPException(422, f"{uid} needs exactly these parameters: {[_PREFIX + name for name in names]}")
        asked = Question(uid, tuple(sorted(given.items())), Range(since or found.since, until))
        try:
            asked.range.at(hub.clock(), hub.limits.longest)
            hub.check(asked)
        except RangeError as error:
            raise HTTPException(422, str(error)) from None
        except BusyError as error:
            raise HTTPException(503, str(error), headers={"Retry-After": "10"}) from None
        return StreamingResponse(hub.follow(asked), media_type="text/event-stream")

    return router


def _board(hub: Hub, uid: str) -> Board:
    found = hub.boards.get(uid)
    if found is None:
        raise HTTPException(404, "there is no such board; /api/boards lists them")
    return found


def _named(request: Request) -> dict[str, str]:
    """What the request chooses of variables."""
    given = {name[len(_PREFIX) :]: value for name, value in request.query_params.items() if name.startswith(_PREFIX)}
    if any(len(value) > _LONGEST_VALUE or "\0" in value for value in given.values()):
        raise HTTPException(422, f"a variable's value has at most {_LONGEST_VALUE} characters")
    return given


async def _choose(
    hub: Hub, board: Board, given: Mapping[str, str], asked: Range
) -> tuple[dict[str, str], dict[str, list[dict[str, str]]]]:
    """What holds of each variable, and what could."""
    chosen: dict[str, str] = {}
    choices: dict[str, list[dict[str, str]]] = {}
    for variable in board.variables:
        try:
            window = asked.at(hub.clock(), hub.limits.longest)
            answer = await hub.choices(board, variable, chosen, window)
        except RangeError as error:
            raise HTTPException(422, str(error)) from None
        except AskError as error:
            raise HTTPException(503, str(error)) from None
        value, text = answer.columns.index("__value"), answer.columns.index("__text")
        rows = {str(row[value]): str(row[text]) for row in answer.rows}
        wanted = given.get(variable.name)
        chosen[variable.name] = wanted if wanted in rows else next(iter(rows), "")
        shown = list(rows)[:_MOST_CHOICES]
        if wanted in rows and wanted not in shown:
            # A link may lead to what the list has no room for.
            shown.append(wanted)
        choices[variable.name] = [{"value": each, "text": rows[each]} for each in shown]
    return chosen, choices
