"""A week of a roll-out of twelve units: every figure of its reports is computed again, as it was known then."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from alerts.evaluate import evaluate
from alerts.routing import Channel, Routing
from alerts.rules import AlertPolicy
from alerts.sense import SenseRules
from grid.channel import Limits, Traffic, summarise
from grid.finding import Severity
from meterline.deliver import watch_rollout
from meterline.pdf import write_pdf
from store.alerts import AlertFilter, list_alerts
from store.connection import Connection, connect
from store.findings import FindingFilter, list_findings
from store.rollout import INDICATORS, read_figure
from sync.load import load_grid
from sync.rollout.channels import file_probe
from sync.rollout.council import decide, follow_up, raise_matter
from sync.rollout.desk import open_ticket, take_step
from sync.rollout.plan import parse_plan
from sync.rollout.planning import judge, load_plan, review
from sync.rollout.report import BY_UNIT, FIGURES, Level, Report, make_report
from sync.rollout.report_html import draw_report, show_figure
from sync.rollout.tickets import Action, Kind, Priority
from sync.rollout.timetable import Span, begin_of
from sync.rollout.watch import watch
from tests.integration.test_rollout_desk import RULES
from tests.rollout_grid import DAY, MONDAY, SHANGHAI, UNITS, grow, rollout_model, write_consistency, write_day

HOUR = timedelta(hours=1)
#: Midnight after each day of the week, in Shanghai.
EVENINGS = [datetime(2040, 6, 5 + n, tzinfo=SHANGHAI) for n in range(7)]


@dataclass
class Ledger:
    """What the test did, in plain values: what reports must say."""

    passed: dict[str, datetime] = field(default_factory=dict)
    due: dict[str, date] = field(default_factory=dict)
    tickets: list[tuple[str, datetime, datetime | None]] = field(default_factory=list)
    channels: dict[str, tuple[datetime, bool]] = field(default_factory=dict)


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, rollout_model())
        yield opened


def plan_of(units: tuple[str, ...]) -> str:
    text = 'programme = "PILOT"\n'
    for n, unit in enumerate(units):
        text += f"""
[[packages]]
code = "W-{unit}"
name = "Records of {unit}"
unit = "{unit}"
owner = "head.{n}"
starts_on = 2040-06-01
due_on = 2040-06-12
[[milestones]]
code = "M-{unit}"
package = "W-{unit}"
name = "Records agree"
due_on = 2040-06-{4 + n % 6:02}
accept = ["list signed"]
"""
    return text


def live_through(connection: Connection, number: int, ledger: Ledger, dice: random.Random) -> None:
    """The facts of one day; what is written late is known late."""
    morning = MONDAY + number * DAY
    day = date(2040, 6, 4) + timedelta(days=number)
    for n, unit in enumerate(UNITS):
        if dice.random() < 0.5:
            at = morning + n * timedelta(minutes=7)
            opened = open_ticket(
                connection, RULES, dice.choice(list(Kind)), unit, dice.choice(list(Priority)), "T", "B", "x", at
            )
            resolved = None
            if dice.random() < 0.6:
                take_step(connection, RULES, opened, Action.TAKE, "x", "y", at + HOUR, assignee="x")
                resolved = at + HOUR + timedelta(hours=dice.randrange(1, 9))
                take_step(connection, RULES, opened, Action.RESOLVE, "x", "z", resolved)
            ledger.tickets.append((unit, at, resolved))
        if dice.random() < 0.3:
            slow = dice.random() < 0.4
            at = morning + 10 * HOUR + n * timedelta(minutes=1)
            measured = summarise([1.5 if slow else 0.1] * 5, 1e6, (0.0, 0.1))
            file_probe(connection, unit, f"gw-{unit}", at, measured, Limits(), "x", at, Traffic(400, 1, 900))
            ledger.channels[unit] = (at, slow)
        if f"M-{unit}" not in ledger.passed and dice.random() < 0.25:
            ledger.passed[f"M-{unit}"] = morning + 9 * HOUR
            review(connection, "PILOT", f"M-{unit}", "passed", "list", "boss", morning + 9 * HOUR, SHANGHAI)
    for unit in ("A1", "F1", "A2"):
        write_consistency(connection, unit, day, 200, dice.randrange(150, 201))
        for revision, delay in ((1, 4 * HOUR), (2, 3 * DAY)):
            # Published on the next morning, and restated days later.
            loss_wh = dice.randrange(1_000, 90_000)
            write_day(
                connection, unit, day, morning + DAY + delay, 1_000_000, loss_wh,
                class_=dice.choice(["normal", "high"]), covered_s=dice.choice([86_400, 80_000]),
                estimated_wh=dice.randrange(5_000), revision=revision,
            )  # fmt: skip


def elements(page: str) -> ET.Element:
    body = re.sub(r"<(meta|link) [^>]*>", "", page.split("<!doctype html>\n")[1])
    return ET.fromstring(body)  # noqa: S314  # our own page


def figures_of(page: str) -> list[tuple[str, dict[str, str], str, str]]:
    found = []
    for anchor in elements(page).iter("a"):
        address = urlsplit(anchor.attrib["href"])
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        found.append((address.path.rpartition("/")[2], asked, anchor.attrib["data-value"], anchor.text or ""))
    return found


def check_again(connection: Connection, page: str) -> int:
    """Compute every figure again from its link; how many there were."""
    figures = figures_of(page)
    for name, asked, value, text in figures:
        at, since = datetime.fromisoformat(asked["at"]), datetime.fromisoformat(asked["since"])
        again = read_figure(connection, name, asked.get("unit"), at, SHANGHAI.key, since)
        assert ("" if again.value is None else repr(again.value)) == value, (name, asked)
        assert text in {show_figure(again, "en"), show_figure(again, "zh")}
    # No number stands beside them: cells hold nothing but figures.
    for cell in elements(page).iter("td"):
        if cell.get("class") == "number":
            assert (cell.text, len(list(cell)), next(iter(cell)).get("class")) == (None, 1, "figure")
    return len(figures)


def value(report: Report, name: str, unit: str | None = None) -> float | None:
    if unit is None:
        return next(figure.value for figure in report.figures if figure.name == name)
    return report.by_unit[unit][BY_UNIT[report.level].index(name)].value


def test_a_week_of_twelve_units_is_reported_and_every_figure_computed_again(connection: Connection) -> None:
    dice, ledger = random.Random(11), Ledger()  # noqa: S311
    load_plan(connection, parse_plan(plan_of(UNITS), INDICATORS), "planner", MONDAY - DAY)
    ledger.due = {f"M-{unit}": date(2040, 6, 4 + n % 6) for n, unit in enumerate(UNITS)}
    pages: list[str] = []
    for number, evening in enumerate(EVENINGS):
        live_through(connection, number, ledger, dice)
        report = make_report(connection, Span.DAILY, Level.WORKING, evening, SHANGHAI)
        pages.append(draw_report(report, "en"))
        if number == 3:
            # The grid grows on Friday morning: what was told before stays as it was.
            grow(connection, evening + 8 * HOUR)
        today = evening.astimezone(SHANGHAI).date() - timedelta(days=1)
        slipped = {m for m, due in ledger.due.items() if due <= today and ledger.passed.get(m, evening) >= evening}
        assert {row["code"] for row in report.milestones} == slipped
        assert value(report, "milestones_slipped") == len(slipped)
        assert value(report, "progress") == len(ledger.passed) / 12
        live = [t for t in ledger.tickets if t[2] is None or t[2] > evening]
        assert value(report, "tickets_open") == len(live)
        assert value(report, "tickets_opened") == sum(t[1] >= report.since for t in ledger.tickets)
        slow = {unit for unit, (_, is_slow) in ledger.channels.items() if is_slow}
        assert {row["unit"] for row in report.channels} == slow
        assert value(report, "channels_slow") == len(slow)
        assert value(report, "channels_good") == (len(ledger.channels) - len(slow)) / len(ledger.channels)
        # Each level has its own of the day; a unit's says nothing of the others.
        leading = make_report(connection, Span.DAILY, Level.LEADING, evening, SHANGHAI)
        assert [figure.value for figure in leading.figures] == [figure.value for figure in report.figures]
        pages.append(draw_report(leading, "zh"))
        for unit in UNITS:
            own = make_report(connection, Span.DAILY, Level.UNIT, evening, SHANGHAI, unit)
            assert {row["code"] for row in own.milestones} == slipped & {f"M-{unit}"}
            assert {row["unit"] for row in own.channels} == slow & {unit}
            assert {row["unit"] for row in own.tickets} <= {unit}
            pages.append(draw_report(own, "en"))
            assert value(report, "channels_slow", unit) == (unit in slow)
            assert value(report, "tickets_open", unit) == sum(t[0] == unit for t in live)
            assert value(report, "milestones_slipped", unit) == (f"M-{unit}" in slipped)
            assert (value(report, "consistency", unit) is None) == (unit not in {"county-01", "county-02"})
    sunday = EVENINGS[-1]
    for level in Level:
        for span in (Span.WEEKLY, Span.MONTHLY):
            whose = "county-02" if level is Level.UNIT else None
            report = make_report(connection, span, level, sunday, SHANGHAI, whose)
            pages.append(draw_report(report, "en"))
            assert report.since == datetime(2040, 6, 4 if span is Span.WEEKLY else 1, tzinfo=SHANGHAI)
    # All facts of the week are there now, restatements too: each page still says what was known at its time.
    counted = [check_again(connection, page) for page in pages]
    assert len(pages) == 7 * (2 + 12) + 6
    assert counted[0] == len(FIGURES) + 12 * len(BY_UNIT[Level.WORKING])
    # Tuesday's report knew Monday's loss as first published, the later ones don't know it otherwise for that period.
    monday = make_report(connection, Span.WEEKLY, Level.WORKING, EVENINGS[1], SHANGHAI)
    later = read_figure(connection, "area_loss_rate", None, sunday, SHANGHAI.key, EVENINGS[0] - DAY).value
    assert value(monday, "area_loss_rate") is not None
    assert later != value(monday, "area_loss_rate")
    # The report of a day whose losses nobody could know yet has the day before, and says which.
    losses = [figure for page in pages for figure in figures_of(page) if figure[0] == "area_loss_rate"]
    assert any(text.endswith("(2040-06-09)") for *_, text in losses)
    whole = [read_figure(connection, "qualified_rate", None, evening, SHANGHAI.key).whole for evening in EVENINGS]
    assert whole == [None, 4, 4, 4, 5, 5, 5]


def test_what_slips_is_in_the_report_of_the_day_and_told_to_alerts_once(connection: Connection) -> None:
    load_plan(connection, parse_plan(plan_of(UNITS[:2]), INDICATORS), "planner", MONDAY)
    ticket = open_ticket(connection, RULES, Kind.DEMAND, "county-02", Priority.URGENT, "Down", "All", "x", MONDAY)
    matter = raise_matter(connection, "county-03", "metering", "M", "m", "x", MONDAY, cross_department=False)
    decision = decide(connection, "Do so", "li.wei", date(2040, 6, 4), "boss", MONDAY, matter_id=matter)

    probed = MONDAY + 3 * HOUR
    measured = summarise([2.5] * 5, 1e6, (0.0, 0.1))
    slow = file_probe(connection, "county-02", "gw", probed, measured, Limits(), "x", probed, Traffic(400, 1, 900))
    assert slow["shortfalls"] == ["delay"]

    def holding(at: datetime) -> dict[str, tuple[str, str]]:
        watch(connection, at, SHANGHAI)
        rows = list_findings(connection, FindingFilter(holds=True), 0, 50)
        return {row.fingerprint: (row.unit, row.severity) for row in rows}

    assert holding(MONDAY + 20 * timedelta(minutes=1)) == {}
    broken = f"promise_broken:ticket/{ticket}"
    # Half an hour to respond: broken at half past eight. County 3 answers for nothing.
    assert holding(MONDAY + HOUR) == {broken: ("A2", Severity.CRITICAL)}
    evening = EVENINGS[0]
    report = make_report(connection, Span.DAILY, Level.UNIT, evening, SHANGHAI, "county-02")
    assert [row["ticket_id"] for row in report.tickets] == [ticket]
    for level, unit in ((Level.UNIT, "county-02"), (Level.WORKING, None), (Level.LEADING, None)):
        told = make_report(connection, Span.DAILY, level, evening, SHANGHAI, unit)
        assert [(row["unit"], row["gateway"]) for row in told.channels] == [("county-02", "gw")]
    assert make_report(connection, Span.DAILY, Level.UNIT, evening, SHANGHAI, "county-01").channels == ()
    assert [
        row["code"] for row in make_report(connection, Span.DAILY, Level.LEADING, evening, SHANGHAI).milestones
    ] == ["M-county-01"]
    assert make_report(connection, Span.DAILY, Level.UNIT, evening, SHANGHAI, "county-02").milestones == ()
    assert holding(evening) == {
        broken: ("A2", Severity.CRITICAL),
        "milestone_slipped:PILOT/M-county-01": ("F1", Severity.WARNING),
        f"decision_overdue:{decision}": ("F1", Severity.WARNING),
        "channel_slow:county-02/gw": ("A2", Severity.WARNING),
    }
    assert watch(connection, evening + HOUR, SHANGHAI).begun == 0
    # Alerts of the working group come of them, though no unit has data.
    evaluate(connection, AlertPolicy(), Routing(), evening + HOUR, rules=SenseRules())
    alerts = list_alerts(connection, AlertFilter(role="working_group"), 0, 10)
    assert {alert.fingerprint for alert in alerts} == set(holding(evening + HOUR))
    take_step(connection, RULES, ticket, Action.TAKE, "x", "y", evening + 10 * HOUR, assignee="x")
    take_step(connection, RULES, ticket, Action.RESOLVE, "x", "z", evening + 11 * HOUR)
    review(connection, "PILOT", "M-county-01", "passed", "list", "boss", evening + 11 * HOUR, SHANGHAI)
    follow_up(connection, decision, "done", "li.wei", evening + 11 * HOUR, done=True)
    again = evening + 11 * HOUR
    good = summarise([0.1] * 5, 1e6, (0.0, 0.1))
    file_probe(connection, "county-02", "gw", again, good, Limits(), "x", again, Traffic(400, 1, 900))
    assert holding(evening + 12 * HOUR) == {}
    assert judge(connection, evening, SHANGHAI) == []


def test_what_was_over_by_the_evening_is_in_the_report_all_the_same(connection: Connection) -> None:
    ticket = open_ticket(connection, RULES, Kind.DEMAND, "county-02", Priority.URGENT, "Down", "All", "x", MONDAY)
    take_step(connection, RULES, ticket, Action.TAKE, "x", "y", MONDAY + HOUR, assignee="x")
    take_step(connection, RULES, ticket, Action.RESOLVE, "x", "z", MONDAY + 2 * HOUR)
    for hours, delay_s in ((2, 2.5), (3, 0.1)):
        at = MONDAY + hours * HOUR
        measured = summarise([delay_s] * 5, 1e6, (0.0, 0.1))
        file_probe(connection, "county-02", "gw", at, measured, Limits(), "x", at, Traffic(400, 1, 900))
    for level, unit in ((Level.UNIT, "county-02"), (Level.WORKING, None), (Level.LEADING, None)):
        report = make_report(connection, Span.DAILY, level, EVENINGS[0], SHANGHAI, unit)
        assert [(row["ticket_id"], row["state"]) for row in report.tickets] == [(ticket, "resolved")]
        assert value(report, "tickets_broken") == 1
        assert [(row["gateway"], row["is_good_again"]) for row in report.channels] == [("gw", True)]
        assert value(report, "channels_slow") == 0
        page = draw_report(report, "en")
        assert "2040-06-04 10:00" in page
        next_day = make_report(connection, Span.DAILY, level, EVENINGS[1], SHANGHAI, unit)
        assert (next_day.tickets, next_day.channels) == ((), ())
    other = make_report(connection, Span.DAILY, Level.UNIT, EVENINGS[0], SHANGHAI, "county-01")
    assert (other.tickets, other.channels) == ((), ())


def test_a_site_that_stops_measuring_is_told(connection: Connection) -> None:
    good = summarise([0.1] * 5, 1e6, (0.0, 0.1))
    file_probe(connection, "county-02", "gw", MONDAY, good, Limits(), "x", MONDAY, Traffic(400, 1, 900))

    def holding(at: datetime) -> list[tuple[str, datetime]]:
        watch(connection, at, SHANGHAI)
        return [(row.fingerprint, row.begin_at) for row in list_findings(connection, FindingFilter(holds=True), 0, 9)]

    assert holding(MONDAY + 7 * DAY - HOUR) == []
    silent = MONDAY + 7 * DAY
    assert holding(silent + HOUR) == [("channel_unknown:county-02/gw", silent)]
    report = make_report(connection, Span.DAILY, Level.UNIT, silent + HOUR, SHANGHAI, "county-02")
    assert [(row["unit"], row["gateway"]) for row in report.silent] == [("county-02", "gw")]
    assert value(report, "channels_unknown") == 1
    # An alert of the working group, though no unit has data.
    evaluate(connection, AlertPolicy(), Routing(), silent + HOUR, rules=SenseRules())
    (alert,) = list_alerts(connection, AlertFilter(role="working_group"), 0, 10)
    assert alert.fingerprint == "channel_unknown:county-02/gw"
    assert make_report(connection, Span.DAILY, Level.UNIT, silent + HOUR, SHANGHAI, "county-01").silent == ()
    again = silent + DAY
    file_probe(connection, "county-02", "gw", again, good, Limits(), "x", again, Traffic(400, 1, 900))
    assert holding(again) == []
    # Who was silent for nine weeks is taken as gone.
    assert [name for name, _ in holding(again + 62 * DAY)] == ["channel_unknown:county-02/gw"]
    assert holding(again + 63 * DAY) == []


def test_a_slowed_channel_is_told_the_working_group_and_after_a_day_the_leading_group(connection: Connection) -> None:
    slow = summarise([2.5] * 5, 1e6, (0.0, 0.1))
    file_probe(connection, "county-02", "gw", MONDAY, slow, Limits(), "x", MONDAY, Traffic(400, 1, 900))
    routing = Routing((
        Channel("workers", frozenset({"working_group"})), Channel("leaders", frozenset({"leading_group"})),
        Channel("dispatch", frozenset({"control_room"})),
    ), interval_s=0)  # fmt: skip

    def told_at(at: datetime) -> list[tuple[str, str]]:
        watch(connection, at, SHANGHAI)
        evaluate(connection, AlertPolicy(), routing, at, rules=SenseRules())
        rows = connection.execute("select target, payload ->> 'type' from alerts.delivery order by created_at, target")
        told = [(row[0], row[1]) for row in rows]
        # Sent, so that what comes next is a notice of its own.
        connection.execute("update alerts.delivery set delivered_at = %s, attempts = 1", [at])
        return told

    first = told_at(MONDAY + HOUR)
    assert first == [("workers", "alert.opened")]
    assert told_at(MONDAY + 20 * HOUR) == first
    assert ("leaders", "alert.escalated") in told_at(MONDAY + 26 * HOUR)
    good = summarise([0.1] * 5, 1e6, (0.0, 0.1))
    again = MONDAY + 27 * HOUR
    file_probe(connection, "county-02", "gw", again, good, Limits(), "x", again, Traffic(400, 1, 900))
    assert {target for target, event in told_at(again + HOUR) if event == "alert.resolved"} >= {"workers"}
    assert "dispatch" not in {target for target, _ in told_at(again + HOUR)}


def test_texts_are_escaped_and_both_languages_say_the_same_figures(connection: Connection) -> None:
    nasty = '<script>alert("x")</script>'
    raise_matter(connection, "county-01", "metering", nasty, "b", "x", MONDAY, cross_department=True)
    report = make_report(connection, Span.DAILY, Level.LEADING, EVENINGS[0], SHANGHAI)
    english, chinese = draw_report(report, "en"), draw_report(report, "zh")
    assert nasty not in english
    assert any(cell.text == nasty for cell in elements(english).iter("td"))
    assert [f[:3] for f in figures_of(english)] == [f[:3] for f in figures_of(chinese)]
    assert "里程碑完成率" in chinese
    assert "领导小组" in chinese


@pytest.mark.parametrize(
    ("span", "at", "begin"),
    [
        (Span.DAILY, datetime(2040, 6, 5, tzinfo=SHANGHAI), datetime(2040, 6, 4, tzinfo=SHANGHAI)),
        (Span.DAILY, datetime(2040, 6, 5, 9, tzinfo=SHANGHAI), datetime(2040, 6, 5, tzinfo=SHANGHAI)),
        (Span.WEEKLY, datetime(2040, 6, 11, tzinfo=SHANGHAI), datetime(2040, 6, 4, tzinfo=SHANGHAI)),
        (Span.MONTHLY, datetime(2040, 7, 1, tzinfo=SHANGHAI), datetime(2040, 6, 1, tzinfo=SHANGHAI)),
    ],
)
def test_a_period_that_ends_is_reported_at_its_end(span: Span, at: datetime, begin: datetime) -> None:
    assert begin_of(span, at, SHANGHAI) == begin


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium")
def test_a_report_is_printed(connection: Connection, tmp_path: Path) -> None:
    report = make_report(connection, Span.DAILY, Level.WORKING, EVENINGS[0], SHANGHAI)
    write_pdf(draw_report(report, "zh"), tmp_path / "report.pdf")
    data = (tmp_path / "report.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert len(data) > 10_000


def test_commands(config_path: Path, settings: Any, tmp_path: Path) -> None:
    with connect(settings.database.conninfo("app"), "test") as opened:
        load_grid(opened, rollout_model())

    def run(*arguments: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "meterline", "report", *arguments, "--config", str(config_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ), timeout=90)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    out = tmp_path / "day.html"
    told = json.loads(run("daily", "--level", "unit", "--unit", "county-01", "--out", str(out), "--json"))
    name, asked, value, _ = figures_of(out.read_text())[0]
    assert (name, told["figures"][0]["value"]) == ("progress", float(value) if value else None)
    parameters = [part for key in ("unit", "since", "at") for part in (f"--{key}", asked[key])]
    again = json.loads(run("figure", name, *parameters, "--json"))
    assert again == told["figures"][0]
    assert "no organisation" in run("weekly", "--level", "unit", "--unit", "county-77", code=1)
    assert "names its unit" in run("monthly", "--level", "unit", code=1)
    assert "no indicator" in run("figure", "luck", code=2)
    assert "no organisation county-77" in run("figure", "progress", "--unit", "county-77", code=1)
    assert "月报" in run("monthly", "--language", "zh")
    # What the alerts' service does once a minute: a milestone of 2020 has slipped since then.
    with connect(settings.database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        text = plan_of(UNITS[:1]).replace("2040-06", "2020-06").replace("PILOT", "OLD")
        load_plan(opened, parse_plan(text, INDICATORS), "planner", datetime.now(SHANGHAI))
        assert watch_rollout(opened, settings) is False
        (found,) = list_findings(opened, FindingFilter(kind="milestone_slipped", holds=True), 0, 5)
        assert (found.fingerprint, found.unit) == ("milestone_slipped:OLD/M-county-01", "F1")
