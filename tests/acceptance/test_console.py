"""The console on the running demonstration, in a real browser: every board, at a desk and on a phone."""

from __future__ import annotations

import json
import re
import signal
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect

from deploy.boards.model import Source
from deploy.boards.registry import BOARDS
from deploy.stack import StackSpec
from deploy.stack.accounts import CONSOLE_TOKEN
from meterline.config import load_settings
from tests.browser import SIZES, Visit, chromium
from tests.demonstration import left_behind, start, until_streaming
from tests.waiting import PATIENCE_S, until

#: What shows something as soon as intervals are settled, wherever the demonstration stands.
FILLED = {
    "now", "alerts_by_state", "outages", "units_by_status", "feeders", "parts", "freshness_here", "feeder_now",
    "feeder_power", "area_now", "area_power", "consistency", "stall", "settled", "readings", "delay", "lag", "flush",
    "workers", "freshness", "disk",
}  # fmt: skip
SERVED = [board for board in BOARDS if board.source is Source.OPERATIONS]


def choice(page: Page, variable: str) -> str:
    """What the address says of a variable."""
    return parse_qs(urlsplit(page.url).query).get(f"var-{variable}", [""])[0]


def data_arrive_live(browser: Browser, base: str) -> None:
    """Figures of the control room move without a reload."""
    visit = Visit(browser, base, "desk")
    page = visit.open("/boards/meterline-control-room")
    page.evaluate("window.isTheSamePage = true")
    figures = page.locator("[data-panel=now] dd")
    # From the first settled interval on there is a supply, and with the next ones it changes.
    expect(figures.first).to_have_text(re.compile(r"\d"), timeout=2_000 * PATIENCE_S)
    first = figures.all_inner_texts()
    until(lambda: figures.all_inner_texts() != first, "figures move", 2 * PATIENCE_S)
    assert page.evaluate("window.isTheSamePage")
    assert visit.wrong == []


def from_region_to_area_and_back(browser: Browser, base: str) -> None:
    visit = Visit(browser, base, "desk")
    page = visit.open("/boards/meterline-control-room?from=now-6h&lang=en")
    # The first row of the parts is the region: a click on it chooses it.
    page.locator("[data-panel=parts] tbody a").first.click()
    page.wait_for_url("**var-region=**")
    visit.filled()
    region = choice(page, "region")
    assert region != "*"
    page.locator("[data-panel=parts]").get_by_role("link", name=re.compile("Busbar")).first.click()
    page.wait_for_url("**var-substation=**")
    visit.filled()
    substation = choice(page, "substation")
    assert (choice(page, "region"), substation != "*") == (region, True)
    page.locator("[data-panel=feeders] tbody a").first.click()
    page.wait_for_url("**/boards/meterline-feeder?**")
    visit.filled()
    feeder = choice(page, "feeder")
    page.locator("[data-panel=feeder_areas] tbody a").first.click()
    page.wait_for_url("**/boards/meterline-area?**")
    visit.filled()
    assert (choice(page, "feeder"), page.url.count("from=now-6h")) == (feeder, 1)
    expect(page.locator("[data-panel=area_now] dd").first).to_be_visible()
    page.locator("#up").get_by_role("link", name="Feeder").click()
    page.wait_for_url("**/boards/meterline-feeder?**")
    visit.filled()
    assert choice(page, "feeder") == feeder
    page.locator("#up").get_by_role("link", name="Control room").click()
    page.wait_for_url("**/boards/meterline-control-room?**")
    visit.filled()
    assert (choice(page, "region"), choice(page, "substation")) == (region, substation)
    assert visit.wrong == []


def acknowledges_an_alert(browser: Browser, spec: StackSpec, base: str) -> None:
    """From the row of an alert to its page, with the token of the stack; then it isn't open any more."""
    with psycopg.connect(load_settings(spec.config_path).database.conninfo("app"), autocommit=True) as connection:
        row = connection.execute(
            """
            insert into alerts.alert (fingerprint, kind, severity, unit_id, evidence)
            select 'high_loss:of a test', 'high_loss', 'warning', unit_id, '{}'
            from grid.unit where kind = 'feeder' limit 1
            returning alert_id
            """
        ).fetchone()
    assert row is not None
    visit = Visit(browser, base, "desk")
    page = visit.open("/boards/meterline-control-room?lang=en")
    page.locator("[data-panel=open_alerts] tbody").get_by_role("link", name=str(row[0]), exact=True).click()
    page.wait_for_url(f"**/alerts/{row[0]}?lang=en")
    page.get_by_label("Token").fill(spec.secret_path(CONSOLE_TOKEN).read_text().strip())
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Action").select_option("acknowledge")
    page.get_by_label("Reason").fill("seen")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#history")).to_contain_text("local")
    expect(page.locator("#fields")).to_contain_text("acknowledged")
    assert visit.wrong == []


def every_board_fits(browser: Browser, base: str) -> None:
    for size in SIZES:
        visit = Visit(browser, base, size)
        for board in SERVED:
            visit.open(f"/boards/{board.uid}")
            for place in board.places:
                expect(visit.page.locator(f"[data-panel={place.panel.key}] .trouble")).to_be_hidden()
            empty = visit.page.locator("[data-panel]:has(.note)")
            assert not FILLED & set(empty.evaluate_all("(all) => all.map((each) => each.dataset.panel)"))
            visit.check(board.uid.removeprefix("meterline-"))
        visit.open(f"/boards/{SERVED[0].uid}?lang=zh")
        visit.check(f"{SERVED[0].uid.removeprefix('meterline-')}-zh")
        visit.context.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demonstration_in_a_browser(spec: StackSpec) -> None:
    # How fast a panel's question is answered is measured by `python -m benchmarks.boards`.
    (spec.home / "local.toml").write_text("[console]\ntimeout_s = 30\n")
    process = start(spec, "--areas", "6", "--json")
    until_streaming(spec, process)
    base = f"http://127.0.0.1:{spec.ports.console}"
    assert httpx.get(f"{base}/healthz").json() == {"status": "ok"}
    assert "meterline_console_viewers" in httpx.get(f"http://127.0.0.1:{spec.ports.console_ops}/metrics").text
    with chromium() as browser:
        data_arrive_live(browser, base)
        from_region_to_area_and_back(browser, base)
        acknowledges_an_alert(browser, spec, base)
        every_board_fits(browser, base)
        # Pages that are open don't hold up the end.
        Visit(browser, base, "desk").open("/boards/meterline-control-room")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-3000:]
    assert f"the console is at {base}/" in err
    assert f"show the token in {spec.secret_path(CONSOLE_TOKEN)}" in err
    assert json.loads(out)["ok"]
    assert left_behind(spec) == []
