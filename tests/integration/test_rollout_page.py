"""A report in a real browser: a unit sees its own, and no other."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect
from psycopg_pool import ConnectionPool

from console.api import rollout_routers
from console.api.desk import Desk
from console.api.tokens import RateLimiter, Tokens, hash_of
from console.live import Hub, LiveLimits
from console.rollout_page import rollout_page_router
from store.connection import Connection, connect
from store.rollout import INDICATORS
from sync.load import load_grid
from sync.rollout.plan import parse_plan
from sync.rollout.planning import load_plan
from tests.browser import SIZES, Visit, chromium
from tests.console_server import serving
from tests.integration.test_rollout_api import RULES
from tests.integration.test_rollout_plan import PLAN
from tests.rollout_grid import DAY, MONDAY, SHANGHAI, rollout_model


@pytest.mark.parametrize("size", SIZES)
def test_a_unit_reads_its_report(database: Any, tmp_path: Path, size: str) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(
        f'[[tokens]]\nname = "Li"\nsha256 = "{hash_of("secret")}"\nroles = ["unit"]\nunit = "county-01"\n'
    )
    with connect(database.conninfo("app"), "test") as connection:
        load_grid(connection, rollout_model())
        load_plan(connection, parse_plan(PLAN, INDICATORS), "planner", MONDAY)
    pool = ConnectionPool[Connection](database.conninfo("app"), kwargs={"autocommit": True}, min_size=1, open=False)
    limiter = RateLimiter(1_000, 1_000, time.monotonic)
    with pool, chromium() as browser:
        desk = Desk(pool, Tokens(tokens), limiter, limiter, lambda: MONDAY + 6 * DAY)
        routers = (*rollout_routers(desk, SHANGHAI, lambda _: RULES), rollout_page_router(desk, SHANGHAI))
        with serving(Hub({}, {}, LiveLimits()), routers) as base:
            visit = Visit(browser, base, size)
            page = visit.page
            page.goto(f"{base}/rollout")
            visit.check("rollout-form")
            page.get_by_label("Token").fill("secret")
            page.get_by_role("button").click()
            expect(page.get_by_role("heading", level=1)).to_contain_text("county-01")
            expect(page.get_by_role("row", name="Milestones slipped")).to_contain_text("1")
            # Its own style is let in by its hash.
            assert page.locator("td.number").first.evaluate("e => getComputedStyle(e).textAlign") == "right"
            visit.check("rollout-report")
            # The link of a report that was sent leads to it, as it was known then: before there was a plan.
            then = urlencode({"span": "weekly", "unit": "county-01", "at": (MONDAY - DAY).isoformat()})
            page.goto(f"{base}/rollout?{then}")
            expect(page.get_by_label("Period")).to_have_value("weekly")
            page.get_by_label("Token").fill("secret")
            page.get_by_role("button").click()
            expect(page.get_by_role("heading", level=1)).to_contain_text("Weekly")
            expect(page.get_by_role("row", name="Milestones slipped")).to_contain_text("0")
            for field, said in (("Unit", "county-01 sees itself"), ("Level", "working_group")):
                page.goto(f"{base}/rollout")
                page.get_by_label("Token").fill("secret")
                if field == "Unit":
                    page.get_by_role("textbox", name="Unit").fill("county-02")
                else:
                    page.get_by_label(field).select_option("leading")
                with page.expect_response("**/rollout") as answered:
                    page.get_by_role("button").click()
                assert answered.value.status == 403
                expect(page.get_by_role("alert")).to_contain_text(said)
