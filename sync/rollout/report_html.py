"""Draws a report as one HTML file that needs nothing beside it; pure."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from store.rollout import Figure, Row
from sync.rollout.report import BY_UNIT, Report
from sync.rollout.report_words import Language, say

_COUNTS: Final = frozenset({
    "milestones_passed", "milestones_slipped", "tickets_opened", "tickets_open", "tickets_broken", "matters_open",
    "decisions_overdue", "warning_orders", "channels_slow", "channels_unknown", "open_conflicts", "rank",
})  # fmt: skip
#: Lists of a report, each with its columns.
LISTS: Final = (
    ("milestones", ("programme", "code", "unit", "name", "due_on", "owner", "result")),
    ("tickets", ("ticket_id", "unit", "priority", "state", "title", "resolved_at")),
    (
        "channels",
        (
            "unit", "gateway", "at", "shortfalls", "delay_high_s", "jitter_s", "bytes_per_s", "clock_offset_s",
            "is_good_again",
        ),
    ),
    ("silent", ("unit", "gateway", "at")),
    ("matters", ("matter_id", "unit", "department", "title")),
    ("decisions", ("decision_id", "unit", "decision", "owner", "due_on", "last_note")),
    ("warnings", ("unit", "score", "rank", "warn_below", "warned_at")),
    ("advice", ("step", "department", "gain_h", "evidence")),
    ("social", ("indicator", "value", "measured_in", "basis", "rests_on")),
)  # fmt: skip
#: Columns whose values are words of a report.
_NAMED: Final = frozenset({"indicator", "basis"})
#: Of a report; it stands in the page.
STYLE: Final = """
body { font: 14px/1.5 "Noto Sans CJK SC", "Source Han Sans SC", "Microsoft YaHei", system-ui, sans-serif;
  margin: 2em auto; max-width: 70em; padding: 0 1em; color: #1a1a1a; background: #fff }
h1 { font-size: 1.6em } h2 { font-size: 1.2em; margin-top: 1.6em }
table { border-collapse: collapse; width: 100% } caption { text-align: left }
th, td { text-align: left; padding: .3em .6em; border-bottom: 1px solid #ccc; vertical-align: top }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
a.figure { color: #0b4f8a; text-decoration: none } .scroll { overflow-x: auto }
nav { display: flex; flex-wrap: wrap; gap: .2em 1.2em } nav a { color: #0b4f8a; padding: .3em 0 }
pre { white-space: pre-wrap; overflow-wrap: anywhere }
@media print { body { margin: 0; max-width: none } thead { display: table-header-group } tr { break-inside: avoid } }
"""


def draw_report(report: Report, language: Language, base: str = "", links: Sequence[tuple[str, str]] = ()) -> str:
    """The report as a page.

    Parameters
    ----------
    base
        Address of the console that answers the links, without a slash at the end.
    links
        To other pages, by address and title.
    """
    html, body = begin_page(title_of(report, language), language, links)
    zone = ZoneInfo(report.zone)
    ET.SubElement(body, "p").text = (
        f"{say('period', language)}: {_instant(report.since, zone)} – {_instant(report.at, zone)} ({report.zone}). "
        f"{say('as_of', language)}: {_instant(report.at, zone)}. {say('note', language)}"
    )
    _figures(body, report, language, base)
    if report.by_unit:
        _units(body, report, language, base)
    for name, columns in LISTS:
        draw_list(body, name, columns, getattr(report, name), language, zone)
    return page_of(html)


def begin_page(title: str, language: Language, links: Sequence[tuple[str, str]] = ()) -> tuple[ET.Element, ET.Element]:
    """A page that needs nothing beside it, with its title and links; and the element that takes what it says."""
    html = ET.Element("html", lang="en" if language == "en" else "zh-Hans")
    head = ET.SubElement(html, "head")
    ET.SubElement(head, "meta", charset="utf-8")
    ET.SubElement(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    # No browser needs to ask for an icon.
    ET.SubElement(head, "link", rel="icon", href="data:,")
    ET.SubElement(head, "title").text = f"Meterline: {title}"
    ET.SubElement(head, "style").text = STYLE
    body = ET.SubElement(ET.SubElement(html, "body"), "main")
    ET.SubElement(body, "h1").text = title
    if links:
        others = ET.SubElement(body, "nav", {"aria-label": say("pages", language)})
        for address, text in links:
            ET.SubElement(others, "a", href=address).text = text
    return html, body


def page_of(html: ET.Element) -> str:
    """The page as text."""
    return "<!doctype html>\n" + ET.tostring(html, encoding="unicode", method="html") + "\n"


def title_of(report: Report, language: Language) -> str:
    """Which report it is, in a line."""
    whom = say(f"level_{report.level}", language) if report.unit is None else report.unit
    return f"{say(report.span, language)} · {whom} · {_day(report)}"


def link_of(figure: Figure) -> str:
    """Path and query of the API that give a figure again."""
    return f"/api/v1/rollout/figures/{figure.name}?{_asked(figure)}"


def show_at(figure: Figure) -> str:
    """The same of the page that shows people its statement and parameters too."""
    return f"/rollout/figure/{quote(figure.name)}?{_asked(figure)}"


def _asked(figure: Figure) -> str:
    asked = {"since": figure.since.isoformat(), "at": figure.at.isoformat()}
    if figure.unit is not None:
        asked["unit"] = figure.unit
    return urlencode(asked)


def show_figure(figure: Figure, language: Language) -> str:
    """A figure as people read it."""
    if figure.value is None:
        return say("unknown", language)
    if figure.name in _COUNTS:
        return f"{figure.value:.0f}"
    if figure.name in {"resolve_hours", "conflict_hours"}:
        return f"{figure.value:.1f} {say('hours', language)}"
    if figure.name == "drift_minutes":
        return f"{figure.value:.1f} min"
    if figure.name == "benefit_wh":
        return f"{figure.value / 1_000:,.3f} kWh"
    if figure.name == "benefit_cents":
        return f"{figure.value / 100:,.2f}"
    if figure.name == "score":
        return f"{figure.value:.1f}"
    # A figure of a day says which: the last one that was published may be an earlier one.
    return f"{figure.value:.2%}" if figure.day is None else f"{figure.value:.2%} ({figure.day.isoformat()})"


def _figures(body: ET.Element, report: Report, language: Language, base: str) -> None:
    table = _table(body, "figures", language, ())
    for figure in report.figures:
        row = ET.SubElement(table, "tr")
        ET.SubElement(row, "th", scope="row").text = say(figure.name, language)
        _cell(row, figure, language, base)


def _units(body: ET.Element, report: Report, language: Language, base: str) -> None:
    heads = [say("unit", language), *(say(name, language) for name in BY_UNIT[report.level])]
    table = _table(body, "by_unit", language, heads)
    for unit, figures in report.by_unit.items():
        row = ET.SubElement(table, "tr")
        ET.SubElement(row, "th", scope="row").text = unit
        for figure in figures:
            _cell(row, figure, language, base)


def draw_list(
    body: ET.Element, name: str, columns: Sequence[str], rows: Sequence[Row], language: Language, zone: ZoneInfo
) -> None:
    """A list with its heading, or that it has nothing."""
    if not rows:
        ET.SubElement(body, "h2").text = say(name, language)
        ET.SubElement(body, "p").text = say("none", language)
        return
    table = _table(body, name, language, [say(column, language) for column in columns])
    for values in rows:
        row = ET.SubElement(table, "tr")
        for column in columns:
            value = values[column]
            ET.SubElement(row, "td").text = (
                say(value, language) if column in _NAMED else show_plain(value, language, zone)
            )


def _table(body: ET.Element, name: str, language: Language, heads: Iterable[str]) -> ET.Element:
    ET.SubElement(body, "h2", id=name).text = say(name, language)
    # Who has no mouse can scroll it too.
    scroll = {"class": "scroll", "tabindex": "0", "role": "group", "aria-labelledby": name}
    table = ET.SubElement(ET.SubElement(body, "div", scroll), "table")
    named = list(heads)
    if named:
        row = ET.SubElement(ET.SubElement(table, "thead"), "tr")
        for text in named:
            ET.SubElement(row, "th", scope="col").text = text
    return ET.SubElement(table, "tbody")


def _cell(row: ET.Element, figure: Figure, language: Language, base: str) -> None:
    cell = ET.SubElement(row, "td", {"class": "number"})
    value = "" if figure.value is None else repr(figure.value)
    link = ET.SubElement(cell, "a", {"class": "figure", "href": base + show_at(figure), "data-value": value})
    link.text = show_figure(figure, language)


def show_plain(value: object, language: Language, zone: ZoneInfo) -> str:
    """A value of a list as people read it."""
    if isinstance(value, bool):
        return say("yes" if value else "no", language)
    if isinstance(value, datetime):
        return _instant(value, zone)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _day(report: Report) -> str:
    return report.since.astimezone(ZoneInfo(report.zone)).date().isoformat()


def _instant(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M}"
