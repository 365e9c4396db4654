"""`/rollout`: reports and their figures for a browser, drawn by the server; who asks gives a token with the form."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response

from console.api.desk import Desk
from console.api.problems import ProblemError
from console.api.rollout_scope import GROUPS, need, opened, scope
from console.api.tokens import Principal
from console.rollout_form import AT, LANGUAGE, PAGES, UNIT, Form, answer, html_of, instant_of, language_of, unit_of
from store.rollout import INDICATORS, Figure, read_figure, statement_of
from sync.rollout.report import Level, make_report, need_organisation
from sync.rollout.report_html import begin_page, draw_report, page_of, show_figure, show_plain
from sync.rollout.report_words import Language, say
from sync.rollout.timetable import Span

_REPORT: Final = Form(
    "/rollout", "Roll-out 推广实施",
    (("span", "Period 期间", ("daily", "weekly", "monthly")), ("level", "Level 层级", ("unit", "working", "leading")),
     LANGUAGE),
)  # fmt: skip
_FIGURE: Final = Form("", "Figure 指标", inputs=(UNIT, ("since", "Since 起始"), AT))


def rollout_page_router(desk: Desk, zone: ZoneInfo) -> APIRouter:
    """The pages' routes."""
    router = APIRouter(include_in_schema=False)

    @router.get("/rollout")
    def form(request: Request) -> Response:
        # A link to a report says which; the token is asked for all the same.
        return html_of(_REPORT.draw(None, request.query_params), 200)

    @router.post("/rollout")
    async def report(request: Request) -> Response:
        return await answer(desk, request, _REPORT, lambda asking, asked: _report(desk, zone, asking, asked))

    @router.get("/rollout/figure/{name}")
    def figure_form(name: str, request: Request) -> Response:
        if name not in INDICATORS:
            return html_of(_REPORT.draw("no indicator is named so", {}), 404)
        return html_of(_figure_form(name).draw(None, request.query_params), 200)

    @router.post("/rollout/figure/{name}")
    async def figure(name: str, request: Request) -> Response:
        if name not in INDICATORS:
            return html_of(_REPORT.draw("no indicator is named so", {}), 404)
        return await answer(
            desk, request, _figure_form(name), lambda asking, asked: _figure(desk, zone, name, asking, asked)
        )

    return router


def _figure_form(name: str) -> Form:
    return replace(_FIGURE, action=f"/rollout/figure/{name}", title=f"{say(name, 'en')} {say(name, 'zh')}")


def _report(desk: Desk, zone: ZoneInfo, asking: Principal, asked: Mapping[str, str]) -> str:
    try:
        span, level = Span(asked.get("span", "daily")), Level(asked.get("level", "unit"))
    except ValueError as error:
        raise ProblemError(422, str(error)) from None
    at = instant_of(asked, "at") or desk.now()
    with opened(desk) as connection:
        unit = None
        if level is Level.UNIT:
            unit = scope(connection, asking, unit_of(asked), desk.now())
        else:
            need(asking, GROUPS)
        return draw_report(make_report(connection, span, level, at, zone, unit), language_of(asked), links=PAGES)


def _figure(desk: Desk, zone: ZoneInfo, name: str, asking: Principal, asked: Mapping[str, str]) -> str:
    at = instant_of(asked, "at") or desk.now()
    since = instant_of(asked, "since") or at - timedelta(days=1)
    with opened(desk) as connection:
        unit = scope(connection, asking, unit_of(asked), desk.now())
        need_organisation(connection, unit)
        found = read_figure(connection, name, unit, at, zone.key, since)
    return _draw_figure(found, zone, language_of(asked))


def _draw_figure(figure: Figure, zone: ZoneInfo, language: Language) -> str:
    """A figure with the statement that gives it and its parameters."""
    html, main = begin_page(say(figure.name, language), language, PAGES)
    told: dict[str, object] = {
        "value": show_figure(figure, language), "part": figure.part, "whole": figure.whole, "day": figure.day,
    }  # fmt: skip
    parameters = {
        "unit": figure.unit, "since": figure.since.isoformat(), "at": figure.at.isoformat(), "zone": zone.key
    }  # fmt: skip
    for heading, rows in (("value", told), ("parameters", parameters)):
        ET.SubElement(main, "h2").text = say(heading, language)
        table = ET.SubElement(ET.SubElement(main, "table"), "tbody")
        for name, value in rows.items():
            row = ET.SubElement(table, "tr")
            ET.SubElement(row, "th", scope="row").text = say(name, language)
            ET.SubElement(row, "td", {"data-name": name}).text = show_plain(value, language, zone)
    ET.SubElement(main, "h2").text = say("statement", language)
    ET.SubElement(main, "pre").text = statement_of(figure.name)
    return page_of(html)
