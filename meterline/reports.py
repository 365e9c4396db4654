"""Owes the configured reports of the roll-out to the targets of alerts, when they are due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec
import structlog

from alerts.messages import FigureNotice, NoticeRow, ReportNotice, ReportWebhook
from meterline.config import Settings
from meterline.settings.alerts import AlertsSection, AlertWebhookTarget, ChannelSection
from meterline.settings.section import ConfigError
from meterline.settings.sync import ReportSection
from store.connection import Connection
from store.report_queue import owe_report, unsent_targets
from store.rollout import Row
from sync.rollout.errors import RolloutError
from sync.rollout.report import Level, Report, make_report
from sync.rollout.report_html import LISTS, link_of, show_figure, show_plain, title_of
from sync.rollout.report_words import Language, say
from sync.rollout.timetable import Span, newest_end

log = structlog.get_logger("meterline.reports")

#: Rows of a list that a notice has, and that its lines for people have.
_ROWS, _LINES = 50, 10
_ROLES = {Level.WORKING: "working_group", Level.LEADING: "leading_group"}


def send_reports(connection: Connection, settings: Settings, now: datetime) -> int:
    """Owe each configured report whose time has come, once to each of its targets; returns how many were owed.

    A report covers the day, week or month that has ended, and says what was known at its end. Of what fell due while
    nobody was there, the newest is sent.
    """
    zone, owed = settings.settling.zone(), 0
    for wanted in settings.rollout.reports:
        span, level, unit = Span(wanted.span), Level(wanted.level), wanted.unit or None
        until = newest_end(span, wanted.at, now, zone)
        targets = unsent_targets(connection, span, level, unit, until, targets_of(wanted, settings.alerts))
        if not targets:
            continue
        try:
            report = make_report(connection, span, level, until, zone, unit)
        except RolloutError as error:
            log.warning("a report can't be made", span=wanted.span, level=wanted.level, unit=unit, error=str(error))
            continue
        payload = notice_of(report, wanted.language, settings.alerts.link, now)
        for target in targets:
            owed += owe_report(connection, span, level, unit, until, target, payload, now)
    return owed


def targets_of(wanted: ReportSection, alerts: AlertsSection) -> list[str]:
    """Names of the targets of a report: those that it names, else those that reach its level's role.

    Alertmanager is none: a report is no alert.
    """
    channels = [channel for channel in alerts.channels if channel.type != "alertmanager"]
    means: list[AlertWebhookTarget | ChannelSection] = [*alerts.webhooks, *channels]
    if wanted.targets:
        return [target.name for target in means if target.name in wanted.targets]
    role = _ROLES[Level(wanted.level)]
    return [target.name for target in means if not target.roles or role in target.roles]


def notice_of(report: Report, language: Language, base: str | None, now: datetime) -> dict[str, Any]:
    """A report as targets are told of it: its figures, how many of each need somebody, and where the whole is."""
    root = None if base is None else base.rstrip("/")
    asked = {"span": str(report.span), "level": str(report.level), "at": report.at.isoformat(), "language": language}
    if report.unit is not None:
        asked["unit"] = report.unit
    figures = [
        FigureNotice(
            each.name, each.value, each.part, each.whole, None if each.day is None else each.day.isoformat(),
            None if root is None else root + link_of(each),
        )
        for each in report.figures
    ]  # fmt: skip
    data = ReportNotice(
        report=f"{report.span}/{report.level}/{report.unit or ''}/{report.at.isoformat()}",
        span=str(report.span), level=str(report.level), unit=report.unit, since=report.since, until=report.at,
        title=title_of(report, language),
        lines=[
            *(f"{say(each.name, language)}: {show_figure(each, language)}" for each in report.figures),
            *_lines(report, language),
        ],
        figures=figures,
        lists={
            name: [_row(row, columns) for row in getattr(report, name)[:_ROWS]] for name, columns in LISTS
        },
        link=None if root is None else f"{root}/rollout?{urlencode(asked)}",
    )  # fmt: skip
    return dict(msgspec.to_builtins(ReportWebhook("report", now, data)))


def _row(row: Row, columns: Sequence[str]) -> NoticeRow:
    def plain(value: Any) -> int | float | str | bool | None:
        if isinstance(value, list):
            return ", ".join(map(str, value))
        return value.isoformat() if isinstance(value, date) else value

    return {column: plain(row[column]) for column in columns}


def _lines(report: Report, language: Language) -> list[str]:
    """What the lists name, for people; of each the first rows."""
    lines, zone = [], ZoneInfo(report.zone)
    for name, columns in LISTS:
        rows = getattr(report, name)
        for row in rows[:_LINES]:
            told = (show_plain(row[column], language, zone) for column in columns)
            lines.append(f"{say(name, language)}: {' · '.join(text for text in told if text)}")
        if len(rows) > _LINES:
            lines.append(f"{say(name, language)}: …")
    return lines


def check_reports(settings: Settings) -> None:
    """Check that each report reaches somebody.

    Raises
    ------
    ConfigError
        When one names a target that there isn't, or none reaches its level.
    """
    alerts = settings.alerts
    for wanted in settings.rollout.reports:
        found = targets_of(wanted, alerts)
        if unknown := sorted(set(wanted.targets) - set(found)):
            raise ConfigError(
                f"rollout.reports: no webhook or channel of alerts that takes reports is named {unknown[0]}"
            )
        if not found:
            raise ConfigError(f"rollout.reports: nobody is told of level {wanted.level}: name its targets")
