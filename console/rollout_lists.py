"""`/rollout/plan` and further lists of the roll-out for a browser, drawn by the server from what the API reads too."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response

from console.api.desk import Desk
from console.api.releases import seen_by
from console.api.rollout_scope import opened, scope
from console.api.tokens import Principal
from console.rollout_form import PAGES, Form, answer, html_of, instant_of, language_of, unit_of
from store.connection import Connection
from store.rollout import Row, read_rows
from sync.rollout.assess import read_assessment
from sync.rollout.channels import list_channels, list_silent
from sync.rollout.desk import list_tickets
from sync.rollout.planning import list_milestones
from sync.rollout.report import need_organisation
from sync.rollout.report_html import begin_page, draw_list, page_of
from sync.rollout.report_words import say

#: Rows that a list shows.
MAX_ROWS: Final = 500


@dataclass(frozen=True, slots=True)
class Asked:
    """What a page is asked for, by whom; `unit` is what they may see, None: everything."""

    desk: Desk
    zone: ZoneInfo
    asking: Principal
    unit: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Table:
    """A list of a page: its heading, its columns and how it is read."""

    name: str
    columns: tuple[str, ...]
    read: Callable[[Connection, Asked], list[Row]]


def _packages(connection: Connection, asked: Asked) -> list[Row]:
    return read_rows(
        connection, "plan", "packages",
        at=asked.at, zone=asked.zone.key, programme=None, unit=asked.unit, skip=0, limit=MAX_ROWS,
    )  # fmt: skip


def _milestones(connection: Connection, asked: Asked) -> list[Row]:
    return list_milestones(connection, asked.at, asked.zone, unit=asked.unit, limit=MAX_ROWS)


def _tickets(connection: Connection, asked: Asked) -> list[Row]:
    return list_tickets(connection, asked.at, unit=asked.unit, limit=MAX_ROWS)


def _council(name: str, **more: Any) -> Callable[[Connection, Asked], list[Row]]:
    def read(connection: Connection, asked: Asked) -> list[Row]:
        paging = {"open": False, "after": 0, "limit": MAX_ROWS}
        zone = {"zone": asked.zone.key} if name == "decisions" else {}
        return read_rows(connection, "council", name, at=asked.at, unit=asked.unit, **paging, **zone, **more)

    return read


def _releases(connection: Connection, asked: Asked) -> list[Row]:
    rows = read_rows(connection, "desk", "releases", code=None, at=asked.at, after=0, limit=MAX_ROWS)
    # "tickets" heads a list of a report.
    return [{**row, "of_tickets": row["tickets"]} for row in seen_by(connection, asked.desk, asked.asking, rows)]


def _channels(connection: Connection, asked: Asked) -> list[Row]:
    return list_channels(connection, asked.at, asked.unit, limit=MAX_ROWS)


def _silent(connection: Connection, asked: Asked) -> list[Row]:
    return list_silent(connection, asked.at, asked.unit, MAX_ROWS)


def _assessments(connection: Connection, asked: Asked) -> list[Row]:
    return read_rows(connection, "assessment", "assessments", assessment_id=None, at=asked.at)


def _results(connection: Connection, asked: Asked) -> list[Row]:
    """Of the last assessment of each kind; a unit sees its own."""
    mine = None
    if asked.unit is not None:
        mine = {row["code"] for row in read_rows(connection, "plan", "below", unit=asked.unit, at=asked.at)}
    last = {row["kind"]: row["assessment_id"] for row in reversed(_assessments(connection, asked))}
    rows = []
    for number in last.values():
        found = read_assessment(connection, number, asked.at)
        warned = {row["unit"]: row["at"] for row in found["warnings"]}
        rows += [
            {**asdict(result), "assessment_id": number, "warned_at": warned.get(result.unit)}
            for result in found["results"]
            if mine is None or result.unit in mine
        ]
    return rows


TABLES: Final[Mapping[str, tuple[Table, ...]]] = {
    "plan": (
        Table(
            "packages",
            ("programme", "code", "unit", "name", "owner", "starts_on", "due_on", "reached", "is_late", "blocked_by"),
            lambda connection, asked: [
                {**row, "reached": f"{row['passed']}/{row['milestones']}"} for row in _packages(connection, asked)
            ],
        ),
        Table(
            "all_milestones",
            ("programme", "code", "package", "unit", "name", "due_on", "result", "passed_at", "is_slipped"),
            _milestones,
        ),
    ),
    "tickets": (
        Table(
            "all_tickets",
            ("ticket_id", "kind", "unit", "priority", "state", "tier", "assignee", "title", "release", "opened_at",
             "response_broken", "resolution_broken"),
            _tickets,
        ),
    ),
    "matters": (
        Table(
            "all_matters",
            ("matter_id", "unit", "department", "cross_department", "title", "decision", "owner", "due_on", "done"),
            _council("matters", matter_id=None, cross_department=None),
        ),
        Table(
            "all_decisions",
            ("decision_id", "matter_id", "decision", "owner", "due_on", "is_overdue", "done", "last_note"),
            _council("decisions", decision_id=None),
        ),
    ),
    "releases": (
        Table("releases", ("code", "name", "changes", "deployed", "confirmed", "rolled_back", "of_tickets"), _releases),
    ),
    "channels": (
        Table(
            "all_channels",
            ("unit", "gateway", "at", "shortfalls", "delay_high_s", "jitter_s", "bytes_per_s", "clock_offset_s"),
            _channels,
        ),
        Table("silent", ("unit", "gateway", "at"), _silent),
    ),
    "assessments": (
        Table("results", ("assessment_id", "rank", "unit", "score", "found", "warned_at", "appeals"), _results),
        Table(
            "assessments", ("assessment_id", "kind", "since", "until_at", "weighting_id", "at", "actor"), _assessments
        ),
    ),
}  # fmt: skip


def rollout_lists_router(desk: Desk, zone: ZoneInfo) -> APIRouter:
    """The lists' routes."""
    router = APIRouter(include_in_schema=False)
    for address, title in PAGES:
        tables = TABLES.get(address.rpartition("/")[2])
        if tables is not None:
            _add(router, desk, zone, Form(address, title), tables)
    return router


def _add(router: APIRouter, desk: Desk, zone: ZoneInfo, form: Form, tables: tuple[Table, ...]) -> None:
    @router.get(form.action)
    def ask(request: Request) -> Response:
        return html_of(form.draw(None, request.query_params), 200)

    @router.post(form.action)
    async def show(request: Request) -> Response:
        return await answer(desk, request, form, lambda who, asked: _draw(desk, zone, form, tables, who, asked))


def _draw(
    desk: Desk, zone: ZoneInfo, form: Form, tables: tuple[Table, ...], asking: Principal, said: Mapping[str, str]
) -> str:
    at, language = instant_of(said, "at") or desk.now(), language_of(said)
    html, main = begin_page(form.title, language, PAGES)
    with opened(desk) as connection:
        unit = scope(connection, asking, unit_of(said), desk.now())
        need_organisation(connection, unit)
        asked = Asked(desk, zone, asking, unit, at)
        ET.SubElement(main, "p").text = f"{say('as_of', language)}: {at.astimezone(zone):%Y-%m-%d %H:%M} ({zone.key})"
        for table in tables:
            rows = table.read(connection, asked)
            draw_list(main, table.name, table.columns, rows, language, zone)
            if len(rows) == MAX_ROWS:
                ET.SubElement(main, "p").text = say("more", language).format(MAX_ROWS)
    return page_of(html)
