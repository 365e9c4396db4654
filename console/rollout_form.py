"""What pages of the roll-out share: a form with which who asks gives a token, who asks, and the answer."""

from __future__ import annotations

import base64
import hashlib
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import parse_qs

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials

from console.api.desk import Desk
from console.api.problems import ProblemError
from console.api.rollout_scope import bounded
from console.api.tokens import Principal
from sync.rollout.report_html import STYLE, begin_page, page_of
from sync.rollout.report_words import Language

_MAX_BYTES: Final = 4_096
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
#: A page carries its own style, and nothing else is let in.
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src 'self' data:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
#: Pages of the roll-out, by address and title.
PAGES: Final = (
    ("/rollout", "Reports 报告"),
    ("/rollout/plan", "Plan 计划"),
    ("/rollout/tickets", "Tickets 工单"),
    ("/rollout/matters", "Matters 事项"),
    ("/rollout/releases", "Releases 版本"),
    ("/rollout/channels", "Channels 通道"),
    ("/rollout/assessments", "Assessments 考核"),
)
#: What a form lets choose, and what it lets type.
LANGUAGE: Final = ("language", "Language 语言", ("en", "zh"))
UNIT: Final = ("unit", "Unit 单位")
AT: Final = ("at", "As known at 数据截至")


@dataclass(frozen=True, slots=True)
class Form:
    """A form: where it goes, its title, choices (name, label, values) and inputs (name, label)."""

    action: str
    title: str
    choices: Sequence[tuple[str, str, Sequence[str]]] = (LANGUAGE,)
    inputs: Sequence[tuple[str, str]] = (UNIT, AT)

    def draw(self, message: str | None, asked: Mapping[str, str]) -> str:
        """The form as a page, filled with what was asked before; the token is asked for each time."""
        html, main = begin_page(self.title, "en", PAGES)
        if message is not None:
            ET.SubElement(main, "p", role="alert").text = message
        form = ET.SubElement(main, "form", method="post", action=self.action)
        token = _labelled(form, "Token 令牌")
        ET.SubElement(token, "input", name="token", type="password", autocomplete="off", required="", maxlength="200")
        for name, label, values in self.choices:
            chosen = ET.SubElement(_labelled(form, label), "select", name=name)
            for value in values:
                chosen_already = {"selected": ""} if asked.get(name) == value else {}
                ET.SubElement(chosen, "option", chosen_already, value=value).text = value
        for name, label in self.inputs:
            ET.SubElement(_labelled(form, label), "input", name=name, maxlength="64", value=asked.get(name, "")[:64])
        ET.SubElement(form, "button").text = "Show 查看"
        return page_of(html)


async def answer(
    desk: Desk, request: Request, form: Form, draw: Callable[[Principal, Mapping[str, str]], str]
) -> Response:
    """What a form asked for, drawn for who asks; where that can't be, the form again with why."""
    asked = await _fields(request)

    def work() -> str:
        token = HTTPAuthorizationCredentials(scheme="Bearer", credentials=asked.get("token", ""))
        return draw(desk.authenticate(request, token), asked)

    try:
        return html_of(await run_in_threadpool(work), 200)
    except ProblemError as error:
        return html_of(form.draw(error.detail, asked), error.status)


def html_of(page: str, status: int) -> Response:
    """A page as an answer."""
    return Response(page, status, {"Content-Security-Policy": _POLICY}, "text/html; charset=utf-8")


def instant_of(asked: Mapping[str, str], name: str) -> datetime | None:
    """An instant that was typed; None where none was."""
    text = asked.get(name, "").strip()
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ProblemError(422, "an instant with its zone, such as 2026-11-30T00:00+08:00")
    return bounded(at)


def unit_of(asked: Mapping[str, str]) -> str | None:
    """The organisation that was typed; None where none was."""
    return asked.get("unit", "").strip() or None


def language_of(asked: Mapping[str, str]) -> Language:
    """The language that was chosen."""
    return "zh" if asked.get("language") == "zh" else "en"


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


def _labelled(form: ET.Element, text: str) -> ET.Element:
    label = ET.SubElement(ET.SubElement(form, "p"), "label")
    ET.SubElement(label, "span").text = f"{text} "
    return label
