"""The console's pages in a real browser: every picture, live data, drill-down, keyboard, sizes, languages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import psycopg
import pytest
from playwright.sync_api import Browser, expect

from console.asking import Asker, AskLimits
from console.format import write
from console.live import Hub, LiveLimits
from deploy.boards.language import Language, translate
from deploy.boards.model import Source, Unit
from tests.browser import SIZES, Visit, chromium
from tests.console_boards import REGION_BOARD, TEST_BOARDS
from tests.console_server import serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def base(database: Any) -> Iterator[str]:
    with Asker(database.conninfo("board"), AskLimits(timeout_s=30)) as asker:
        hub = Hub({b.uid: b for b in TEST_BOARDS}, {Source.OPERATIONS: asker}, LiveLimits(refresh_s=0.5))
        with serving(hub) as address:
            yield address


def add_unit(database: Any, code: str) -> None:
    with psycopg.connect(database.conninfo("app")) as app:
        app.execute("insert into grid.unit (code, kind, name, gateway) values (%s, 'area', %s, 'g')", (code, code))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("language", Language)
def test_every_picture_fits_and_is_accessible(browser: Browser, base: str, size: str, language: Language) -> None:
    visit = Visit(browser, base, size)
    page = visit.open(f"/boards/test-region?lang={language.value}")
    assert page.evaluate("document.documentElement.lang") == {"en": "en", "zh": "zh-Hans"}[language.value]
    for place in REGION_BOARD.places:
        expect(page.locator(f"[data-panel={place.panel.key}] h2")).to_have_text(translate(place.panel.title, language))
    # One picture of each kind is really drawn.
    expect(page.locator("[data-panel=areas] tbody tr")).to_have_count(2)
    expect(page.locator("[data-panel=areas] td.number").last).to_have_text("15.0 %")
    expect(page.locator("[data-panel=loading] .track > .piece")).to_have_count(2)
    expect(page.locator("[data-panel=voltages] .track").first.locator(".piece")).to_have_count(2)
    expect(page.locator("[data-panel=change] .value").nth(1)).to_have_text("+3.5 kWh")
    expect(page.locator("[data-panel=map] circle")).to_have_count(3)
    expect(page.locator("[data-panel=network] rect")).to_have_count(4)
    expect(page.locator("[data-panel=network] path")).to_have_count(3)
    expect(page.locator("[data-panel=nothing] .note")).to_have_text(translate("Nothing was rejected", language))
    expect(page.locator("[data-panel=broken] .trouble")).to_contain_text("division by zero")
    for chart in ("loss", "supply"):
        assert page.locator(f"[data-panel={chart}] canvas").count() == 1
        inked = """(canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
          .filter((_, place) => place % 4 === 3).some((alpha) => alpha > 200)"""
        assert page.locator(f"[data-panel={chart}] canvas").evaluate(inked)
    visit.check(f"test-region-{language.value}")


def test_key_figures_can_be_read_from_afar(browser: Browser, base: str) -> None:
    for size in SIZES:
        page = Visit(browser, base, size).open("/boards/test-region")
        heights = page.locator(".keys dd").evaluate_all(
            "(all) => all.map((e) => parseFloat(getComputedStyle(e).fontSize))"
        )
        assert heights
        assert min(heights) >= 28


def test_data_arrive_live_without_a_reload(browser: Browser, base: str, database: Any) -> None:
    visit = Visit(browser, base, "desk")
    page = visit.open("/boards/test-region")
    page.evaluate("window.isTheSamePage = true")
    units = page.locator("[data-panel=figures] dd").first
    expect(units).to_have_text("0")
    add_unit(database, "A1")
    expect(units).to_have_text("1")
    add_unit(database, "A2")
    expect(units).to_have_text("2")
    assert page.evaluate("window.isTheSamePage")
    assert visit.wrong == []


def test_a_click_leads_from_the_region_to_the_area_and_back(browser: Browser, base: str) -> None:
    visit = Visit(browser, base, "desk")
    page = visit.open("/boards/test-region?from=now-6h&lang=en")
    page.get_by_role("link", name="A2", exact=True).click()
    page.wait_for_url("**/boards/test-area?**")
    visit.filled()
    assert "var-area=A2" in page.url
    assert "from=now-6h" in page.url
    expect(page.locator("[data-panel=chosen] dd")).to_have_text("A2")
    page.get_by_role("link", name="Region", exact=True).first.click()
    page.wait_for_url("**/boards/test-region?**")
    visit.filled()
    assert page.get_by_label("Region", exact=True).input_value() == "north"
    # The map and the network lead there too.
    for panel, name in (("map", "B1, normal, Loss rate 4.0 %"), ("network", "Node A1, area, normal")):
        page.locator(f"[data-panel={panel}]").get_by_role("link", name=name).click()
        page.wait_for_url("**/boards/test-area?**")
        visit.filled()
        page.go_back()
        visit.filled()
    assert visit.wrong == []


def test_a_choice_changes_what_depends_on_it(browser: Browser, base: str) -> None:
    visit = Visit(browser, base, "desk")
    page = visit.open("/boards/test-area?var-region=north&var-area=A2")
    expect(page.locator("[data-panel=chosen] dd")).to_have_text("A2")
    page.get_by_label("Region", exact=True).select_option("south")
    page.wait_for_url("**var-region=south**")
    visit.filled()
    assert page.get_by_label("Area", exact=True).input_value() == "B1"
    expect(page.locator("[data-panel=chosen] dd")).to_have_text("B1")
    page.get_by_label("Time range", exact=True).select_option("now-7d")
    page.wait_for_url("**from=now-7d**")
    visit.filled()
    page.get_by_label("Language", exact=True).select_option("zh")
    page.wait_for_url("**lang=zh**")
    visit.filled()
    expect(page.locator("#state")).to_contain_text("实时")
    assert visit.wrong == []


def test_the_menu_keeps_the_chosen_place(browser: Browser, base: str) -> None:
    visit = Visit(browser, base, "desk")
    page = visit.open("/boards/test-area?var-region=south&var-area=B1&lang=en")
    menu = page.locator("#boards")
    menu.get_by_role("link", name="Region", exact=True).click()
    page.wait_for_url("**/boards/test-region?**")
    visit.filled()
    assert page.get_by_label("Region", exact=True).input_value() == "south"
    # That board chooses no area: the one from before is still meant.
    menu.get_by_role("link", name="Area", exact=True).click()
    page.wait_for_url("**/boards/test-area?**")
    visit.filled()
    assert page.get_by_label("Area", exact=True).input_value() == "B1"
    assert visit.wrong == []


def test_an_own_range_is_of_the_utility_s_clocks(browser: Browser, base: str) -> None:
    visit = Visit(browser, base, "desk")
    page = visit.open("/boards/test-area?lang=en&from=2026-06-01T00:00:00Z&to=2026-06-01T06:30:00Z")
    page.get_by_text("Other range", exact=True).click()
    first, last = page.get_by_label("From", exact=True), page.get_by_label("To", exact=True)
    # In Shanghai it is eight hours later.
    assert (first.input_value(), last.input_value()) == ("2026-06-01T08:00", "2026-06-01T14:30")
    first.fill("2026-05-31T23:15")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**from=2026-05-31T15*")
    query = parse_qs(urlsplit(page.url).query)
    assert (query["from"], query["to"]) == (["2026-05-31T15:15:00.000Z"], ["2026-06-01T06:30:00.000Z"])
    visit.filled()
    assert visit.wrong == []


def test_a_day_that_is_long_past_is_shown(browser: Browser, base: str) -> None:
    visit = Visit(browser, base, "desk")
    page = visit.open("/boards/test-area?lang=en&from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z")
    expect(page.locator("#state")).to_have_class("past")
    assert visit.wrong == []


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "UTC"])
def test_the_page_s_clock_is_that_of_the_zone(browser: Browser, base: str, zone: str) -> None:
    page = Visit(browser, base, "desk").open("/boards/test-area")
    instants = [datetime(2026, month, day, 3, 20, tzinfo=UTC) for month in range(1, 13) for day in (1, 25, 28)]
    walls = [f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%dT%H:%M}" for at in instants]
    script = """async ([zone, instants]) => {
      const { Clock } = await import("/static/format.js");
      const clock = new Clock(zone, "en");
      const walls = instants.map((at) => clock.wall(new Date(at)));
      return [walls, walls.map((wall) => clock.instant(wall).getTime())];
    }"""
    told = page.evaluate(script, [zone, [at.timestamp() * 1000 for at in instants]])
    assert told == [walls, [at.timestamp() * 1000 for at in instants]]


def test_all_of_it_can_be_reached_by_keyboard(browser: Browser, base: str) -> None:
    visit = Visit(browser, base, "desk")
    page = visit.open("/boards/test-region")
    reached: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        told = """() => { const e = document.activeElement; return e === document.body ? "" :
          [e.tagName.toLowerCase(), e.getAttribute("aria-label") ?? e.closest("label")?.textContent ?? e.textContent,
           getComputedStyle(e).outlineStyle, getComputedStyle(e).outlineWidth].join("|"); }"""
        here = page.evaluate(told)
        if not here:
            break
        reached.append(here)
    names = [each.split("|")[1] for each in reached]
    assert names[0] == "To the panels"
    for wanted in ("Area", "Areas", "A1", "A2", "B1, normal, Loss rate 4.0 %", "Node A2, area, high", "Closer"):
        assert any(wanted in name for name in names), (wanted, names)
    # What has the focus shows it: by an outline, or in a drawing by its own stroke.
    assert [each for each in reached if "|none|" in each and not each.startswith("a|")] == []
    # The link that skips the menu leads into the panels, and a link is followed by the return key.
    visit.open("/boards/test-region")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator("[data-panel=areas]").get_by_role("link", name="A1").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/boards/test-area?**")


def test_the_focus_stays_where_it_is_while_figures_move(browser: Browser, base: str, database: Any) -> None:
    page = Visit(browser, base, "desk").open("/boards/test-region")
    page.locator("[data-panel=areas]").get_by_role("link", name="A2").focus()
    add_unit(database, "A1")
    expect(page.locator("[data-panel=figures] dd").first).to_have_text("1")
    assert page.evaluate("document.activeElement.textContent") == "A2"


def test_a_lost_connection_is_told_and_the_last_figures_stay(browser: Browser, base: str) -> None:
    visit = Visit(browser, base, "desk")
    page = visit.open("/boards/test-region")
    visit.context.set_offline(True)
    # Chromium keeps streams that are open; a page that hears nothing for long says so by itself.
    page.evaluate("performance.now = ((now) => () => now() + 60_000)(performance.now.bind(performance))")
    expect(page.locator("#lost")).to_contain_text("Connection lost")
    expect(page.locator("[data-panel=areas] tbody tr")).to_have_count(2)


def test_a_board_that_is_not_there_says_so(browser: Browser, base: str) -> None:
    visit = Visit(browser, base, "desk")
    visit.page.goto(f"{base}/boards/nothing")
    expect(visit.page.locator("#lost")).to_contain_text("no such board")


def test_numbers_are_written_alike_on_the_page_and_in_reports(browser: Browser, base: str) -> None:
    page = Visit(browser, base, "desk").open("/boards/test-area")
    values = [0, 1, -1, 0.004, -0.004, 0.5, 999.96, 1_000, -1_234.5, 65, 125, 7_300, 200_000, 12_345_678, 3.2e12, None]
    cases = [(v, unit.value, d) for v in values for unit in Unit for d in (None, 0, 2)]
    script = """async (cases) => { const { format } = await import("/static/format.js");
      return cases.map(([value, unit, decimals]) => format(value, unit, decimals)); }"""
    written = page.evaluate(script, cases)
    expected = [write(value, Unit(unit), decimals) for value, unit, decimals in cases]
    assert [(c, a, b) for c, a, b in zip(cases, written, expected, strict=True) if a != b] == []
