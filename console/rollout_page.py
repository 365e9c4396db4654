"""`/rollout`: a report of the roll-out for a browser, drawn by the server; who asks gives a token with the form."""

from __future__ import annotations

import base64
import hashlib
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials

from console.api.desk import Desk
from console.api.problems import ProblemError
from console.api.rollout_scope import GROUPS, bounded, need, opened, scope
from sync.rollout.report import Level, make_report
from sync.rollout.report_html import STYLE, draw_report
from sync.rollout.report_words import Language
from sync.rollout.timetable import Span

_MAX_BYTES: Final = 4_096
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
#: A report carries its own style, and nothing else is let in.
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src 'self' data:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_CHOICES: Final = {
    "span": ("Period 期间", ("daily", "weekly", "monthly")),
    "level": ("Level 层级", ("unit", "working", "leading")),
    "language": ("Language 语言", ("en", "zh")),
}


def rollout_page_router(desk: Desk, zone: ZoneInfo) -> APIRouter:
    """The page's routes."""
    router = APIRouter(include_in_schema=False)

    @router.get("/rollout")
    def form(request: Request) -> Response:
        # A link to a report says which; the token is asked for all the same.
        return _html(_form(None, request.query_params), 200)

    @router.post("/rollout")
    async def report(request: Request) -> Response:
        asked = await _fields(request)
        try:
            return _html(await run_in_threadpool(_draw, desk, zone, request, asked), 200)
        except ProblemError as error:
            return _html(_form(error.detail, asked), error.status)

    return router


async def _fields(request: Request) -> dict[str, str]:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MAX_BYTES:
            return {}
    try:
        found = parse_qs(body.decode(), max_num_fields=10)
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items()}


def _draw(desk: Desk, zone: ZoneInfo, request: Request, asked: dict[str, str]) -> str:
    token = HTTPAuthorizationCredentials(scheme="Bearer", credentials=asked.get("token", ""))
    asking = desk.authenticate(request, token)
    try:
        span, level = Span(asked.get("span", "daily")), Level(asked.get("level", "unit"))
    except ValueError as error:
        raise ProblemError(422, str(error)) from None
    language: Language = "zh" if asked.get("language") == "zh" else "en"
    at = _instant(asked.get("at", "")) or desk.now()
    with opened(desk) as connection:
        unit = None
        if level is Level.UNIT:
            unit = scope(connection, asking, asked.get("unit"), desk.now())
        else:
            need(asking, GROUPS)
        return draw_report(make_report(connection, span, level, at, zone, unit), language)


def _instant(text: str) -> datetime | None:
    if not text.strip():
        return None
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ProblemError(422, "as known at: an instant with its zone, such as 2026-11-30T00:00+08:00")
    return bounded(at)


def _form(message: str | None, asked: Mapping[str, str]) -> str:
    html = ET.Element("html", lang="en")
    head = ET.SubElement(html, "head")
    ET.SubElement(head, "meta", charset="utf-8")
    ET.SubElement(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    ET.SubElement(head, "link", rel="icon", href="/static/icon.svg")
    ET.SubElement(head, "title").text = "Meterline: roll-out"
    ET.SubElement(head, "style").text = STYLE
    main = ET.SubElement(ET.SubElement(html, "body"), "main")
    ET.SubElement(main, "h1").text = "Roll-out 推广实施"
    if message is not None:
        ET.SubElement(main, "p", role="alert").text = message
    form = ET.SubElement(main, "form", method="post", action="/rollout")
    token = _labelled(form, "Token 令牌")
    ET.SubElement(token, "input", name="token", type="password", autocomplete="off", required="", maxlength="200")
    for name, (label, values) in _CHOICES.items():
        chosen = ET.SubElement(_labelled(form, label), "select", name=name)
        for value in values:
            chosen_already = {"selected": ""} if asked.get(name) == value else {}
            ET.SubElement(chosen, "option", chosen_already, value=value).text = value
    for name, label in (("unit", "Unit 单位"), ("at", "As known at 数据截至")):
        ET.SubElement(_labelled(form, label), "input", name=name, maxlength="64", value=asked.get(name, "")[:64])
    ET.SubElement(form, "button").text = "Show 查看"
    return "<!doctype html>\n" + ET.tostring(html, encoding="unicode", method="html") + "\n"


def _labelled(form: ET.Element, text: str) -> ET.Element:
    label = ET.SubElement(ET.SubElement(form, "p"), "label")
    ET.SubElement(label, "span").text = f"{text} "
    return label


def _html(page: str, status: int) -> Response:
    return Response(page, status, {"Content-Security-Policy": _POLICY}, "text/html; charset=utf-8")
