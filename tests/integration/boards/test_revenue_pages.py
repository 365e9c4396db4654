"""The console for revenue protection in a real browser: from the region to one meter, its series, and back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from deploy.boards.control_room import CONTROL_ROOM
from deploy.boards.registry import BOARDS
from meterline.config import Settings
from meterline.console import make_hub
from meterline.settings.servers import ConsoleSection
from tests.browser import SIZES, Visit, chromium
from tests.console_server import serving
from tests.integration.boards.conftest import Connection, block

PLACE = {"region": "R", "substation": "S", "feeder": "F1", "area": "A1"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def base(app: Connection, database: Any, settings: Settings, measured: None) -> Iterator[str]:
    """A console with all boards; of A1-m15 there is a finding that is assigned to its account."""
    block(app, "A1", 6, timedelta(seconds=30))
    app.execute(
        """
        with opened as (
          insert into alerts.alert (fingerprint, kind, severity, unit_id, evidence, assignee)
          select 'stopped', 'stopped', 'warning', unit_id, '{}', 'meterline_revenue' from grid.unit where code = 'A1'
          returning alert_id, unit_id
        )
        insert into alerts.finding (
          fingerprint, kind, severity, unit_id, meter, begin_at, seen_at, figures, evidence, alert_id
        )
        select 'stopped', 'stopped', 'warning', unit_id, 'A1-m15', now(), now(), '{}', '{}', alert_id from opened
        """
    )
    section = ConsoleSection(revenue=True, timeout_s=30)
    served = settings.model_copy(update={"database": database.section, "console": section})
    with make_hub(served) as hub, serving(hub) as address:
        assert set(hub.boards) == {board.uid for board in BOARDS}
        yield address


def chosen(page: Page) -> dict[str, str]:
    """Variables in the address that narrow something."""
    query = parse_qs(urlsplit(page.url).query)
    return {
        name.removeprefix("var-"): v[0] for name, v in query.items() if name.startswith("var-") and v[0] not in "*0"
    }


def click(visit: Visit, panel: str, name: str, board: str) -> Page:
    """Follow a row's link to `board`."""
    visit.page.locator(f"[data-panel={panel}]").get_by_role("link", name=name, exact=True).first.click()
    visit.page.wait_for_url(f"**/boards/{board}?**")
    return visit.filled()


def reads(app: Connection) -> list[dict[str, Any]]:
    return app.execute("select distinct reader, meter from alerts.series_read").fetchall()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("size", SIZES)
def test_from_the_region_to_the_meter_and_back(browser: Browser, base: str, app: Connection, size: str) -> None:
    visit = Visit(browser, base, size)
    page = visit.open("/boards/meterline-control-room?from=now-6h&lang=en")
    assert chosen(page) == {}
    click(visit, "parts", "Unit R", "meterline-control-room")
    page.wait_for_url("**var-region=R**")
    assert chosen(page) == {"region": "R"}
    visit.filled()
    click(visit, "parts", "Unit B", "meterline-control-room")
    page.wait_for_url("**var-substation=S**")
    click(visit, "feeders", "Unit F1", "meterline-feeder")
    click(visit, "feeder_areas", "Unit A1", "meterline-area")
    assert chosen(page) == PLACE
    page.locator("#up").get_by_role("link", name="Meters (revenue protection)").click()
    page.wait_for_url("**/boards/meterline-usage?**")
    visit.filled()
    expect(page.locator("[data-panel=area_meters] tbody tr")).to_have_count(8)
    # Of an area no series is read.
    assert reads(app) == []
    visit.check("usage")

    # A meter without a finding of mine shows what it showed last, and no series.
    click(visit, "area_meters", "A1-m14", "meterline-usage")
    expect(page.locator("[data-panel=area_meters] tbody tr")).to_have_count(1)
    expect(page.locator("[data-panel=findings] .note")).to_have_text("No finding")
    expect(page.locator("[data-panel=finding_series] .note")).to_have_text("No finding of mine is chosen")
    assert reads(app) == []
    page.locator("#up").get_by_role("link", name="Meters of the area").click()
    page.wait_for_function("!location.search.includes('A1-m14')")
    visit.filled()
    expect(page.locator("[data-panel=area_meters] tbody tr")).to_have_count(8)
    click(visit, "area_meters", "A1-m15", "meterline-usage")
    assert chosen(page) == {**PLACE, "meter": "A1-m15"}
    expect(page.locator("[data-panel=findings] tbody tr")).to_have_count(1)
    expect(page.locator("[data-panel=finding_series] canvas")).to_have_count(1)
    assert reads(app) == [{"reader": "meterline_revenue", "meter": "A1-m15"}]
    visit.check("usage-meter")

    for name, board in (("Area", "area"), ("Feeder", "feeder"), ("Control room", "control-room")):
        page.locator("#up").get_by_role("link", name=name, exact=True).click()
        page.wait_for_url(f"**/boards/meterline-{board}?**")
        visit.filled()
    assert chosen(page) == {"region": "R", "substation": "S"}
    assert visit.wrong == []
    visit.context.close()


def test_the_control_room_is_one_screen(browser: Browser, base: str) -> None:
    visit = Visit(browser, base, "desk")
    page = visit.open("/boards/meterline-control-room?lang=en")
    assert page.evaluate("document.documentElement.scrollHeight") <= SIZES["desk"][1]
    panels = page.locator("[data-panel]").evaluate_all("(all) => all.map((e) => e.getBoundingClientRect().bottom)")
    assert len(panels) == len(CONTROL_ROOM.places)
    assert max(panels) <= SIZES["desk"][1]
    heights = page.locator(".keys dd").evaluate_all("(all) => all.map((e) => parseFloat(getComputedStyle(e).fontSize))")
    assert min(heights) >= 28
    assert visit.wrong == []
