"""Draws boards as Grafana dashboards, in the classic JSON that Grafana 11 to 13 read."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace

from grafana_foundation_sdk.cog import runtime as cog_runtime
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins

with warnings.catch_warnings():
    # The SDK recommends the second schema of dashboards; the first is the one that files provision everywhere.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import dashboard
    from grafana_foundation_sdk.models import dashboard as model

from deploy.boards.grafana_fields import CONSOLE, DATASOURCE_TYPE, FILLS, PostgresQuery, Query, datasource, url
from deploy.boards.grafana_pictures import Builder, picture
from deploy.boards.language import Language, in_language
from deploy.boards.model import Annotation, Board, Link, Place, Source
from deploy.boards.registry import BOARDS

#: Where the console listens unless it is told otherwise.
CONSOLE_URL = "http://127.0.0.1:8080"
_REVENUE = frozenset(board.uid for board in BOARDS if board.source is Source.REVENUE)


def suffix_of(language: Language) -> str:
    """What the uids of boards in a language end with."""
    return "" if language is Language.ENGLISH else f"-{language.value}"


def draw(
    board: Board,
    language: Language = Language.ENGLISH,
    *,
    console_url: str = CONSOLE_URL,
    time_zone: str = "",
    revenue: bool = False,
) -> model.Dashboard:
    """Return `board` as a dashboard of the SDK.

    Parameters
    ----------
    console_url
        Where alerts are shown and acknowledged.
    time_zone
        An IANA name; empty: that of the organisation's or the server's preferences.
    revenue
        Whether it is for a Grafana that has the boards of revenue protection too: elsewhere nothing leads to them.
    """
    said = in_language(board, language)
    suffix = suffix_of(language)
    builder = (
        dashboard.Dashboard(said.title)
        .uid(board.uid + suffix)
        .description(said.description)
        .tags([*board.tags, language.value])
        .timezone(time_zone)
        .refresh(board.refresh)
        .time(board.since, "now")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .readonly()
    )
    for variable in said.variables:
        builder.with_variable(
            dashboard.QueryVariable(variable.name)
            .label(variable.title)
            .datasource(datasource(board.source))
            .query(variable.sql.strip())
            .refresh(model.VariableRefresh.ON_DASHBOARD_LOAD)
            .sort(model.VariableSort.DISABLED)
        )
    if any(link.path is not None for link in _row_links(board)):
        builder.with_variable(
            dashboard.TextBoxVariable(CONSOLE).default_value(console_url).hide(model.VariableHide.HIDE_VARIABLE)
        )
    for annotation in said.annotations:
        builder.annotation(_annotation(annotation, board.source))
    for link in said.links:
        if revenue or not _leads_away(link, board.source):
            builder.link(dashboard.DashboardLink(link.title).url(url(link, suffix)))
    for number, place in enumerate(said.places, start=1):
        builder.with_panel(_place(number, place if revenue else _kept(place, board.source), board.source, suffix))
    return _for_all_releases(builder.build())


def dumps(
    board: Board,
    language: Language = Language.ENGLISH,
    *,
    console_url: str = CONSOLE_URL,
    time_zone: str = "",
    revenue: bool = False,
) -> str:
    """Return the JSON of `board`, the same text for the same board; see `draw`."""
    drawn = draw(board, language, console_url=console_url, time_zone=time_zone, revenue=revenue)
    return json.dumps(drawn, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def loads(text: str) -> model.Dashboard:
    """Read a dashboard back into the SDK's types."""
    register_default_plugins()
    cog_runtime.register_dataquery_variant(
        cog_runtime.DataqueryConfig(identifier=DATASOURCE_TYPE, from_json_hook=PostgresQuery.from_json)
    )
    return _for_all_releases(model.Dashboard.from_json(json.loads(text)))


def files() -> Iterator[tuple[str, str]]:
    """Path and content of every file that Grafana is provisioned from: revenue protection has all boards."""
    for board in BOARDS:
        for language in Language:
            name = f"{language.value}/{board.uid.removeprefix('meterline-')}.json"
            if board.source is Source.OPERATIONS:
                yield f"operations/{name}", dumps(board, language)
            yield f"revenue/{name}", dumps(board, language, revenue=True)


def _for_all_releases(drawn: model.Dashboard) -> model.Dashboard:
    """Take out what the SDK adds by itself for the newest Grafana: links and annotations hidden in a menu."""
    for annotation in drawn.annotations.list_val or []:
        annotation.placement = None  # type: ignore[assignment]
    for link in drawn.links or []:
        link.placement = None  # type: ignore[assignment]
    return drawn


def _row_links(board: Board) -> Iterator[Link]:
    for place in board.places:
        for column in place.panel.columns:
            if column.link is not None:
                yield column.link


def _annotation(annotation: Annotation, source: Source) -> dashboard.AnnotationQuery:
    return (
        dashboard.AnnotationQuery()
        .name(annotation.title)
        .datasource(datasource(source))
        .enable(True)
        .icon_color(FILLS[annotation.colour])
        .target(Query(annotation.sql, "table", source, ref_id="Anno"))
    )


def _kept(place: Place, source: Source) -> Place:
    """Without links that lead away."""
    columns = tuple(
        replace(column, link=None) if column.link is not None and _leads_away(column.link, source) else column
        for column in place.panel.columns
    )
    links = tuple(link for link in place.panel.links if not _leads_away(link, source))
    return replace(place, panel=replace(place.panel, columns=columns, links=links))


def _place(number: int, place: Place, source: Source, suffix: str) -> Builder:
    panel = place.panel
    builder = picture(panel, source, suffix)
    builder.id(number).title(panel.title).description(panel.description)
    builder.datasource(datasource(source)).no_value(panel.nothing)
    builder.grid_pos(model.GridPos(x=place.x, y=place.y, w=place.width, h=place.height))
    # No point is narrower than the shortest interval of a meter.
    builder.interval("1m")
    if panel.span is not None:
        builder.time_from(panel.span)
    if panel.links:
        builder.links([dashboard.DashboardLink(link.title).url(url(link, suffix)) for link in panel.links])
    return builder


def _leads_away(link: Link, source: Source) -> bool:
    # Revenue protection has a Grafana of its own: from the others' nothing leads there.
    return source is Source.OPERATIONS and link.board in _REVENUE
