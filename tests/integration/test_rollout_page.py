"""A report in a real browser: a unit sees its own, and no other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from playwright.sync_api import expect
from psycopg_pool import ConnectionPool

from console.api import rollout_routers
from console.api.desk import Desk
from console.api.tokens import RateLimiter, Tokens, hash_of
from console.live import Hub, LiveLimits
from console.rollout_form import PAGES
from console.rollout_lists import rollout_lists_router
from console.rollout_page import rollout_page_router
from grid.channel import Limits, Traffic, summarise
from store.connection import Connection, connect
from store.rollout import INDICATORS, statement_of
from sync.load import load_grid
from sync.rollout.assess import approve_weights, assess, propose_weights
from sync.rollout.assessment import parse_weights
from sync.rollout.channels import file_probe
from sync.rollout.council import decide, raise_matter
from sync.rollout.desk import open_ticket
from sync.rollout.plan import parse_plan
from sync.rollout.planning import load_plan
from sync.rollout.releases import make_release, release_step
from sync.rollout.tickets import Kind, Priority
from tests.browser import SIZES, Visit, chromium
from tests.console_server import serving
from tests.integration.test_rollout_api import RULES, WEIGHTS
from tests.integration.test_rollout_plan import PLAN
from tests.rollout_grid import DAY, MONDAY, SHANGHAI, rollout_model

#: What each page says of county 1, and what it must not say of county 2.
SEEN = {
    "/rollout/plan": (["Records of county 1", "M1", "2040-06-07"], ["Meters of county 2", "M2"]),
    "/rollout/tickets": (["Ours"], ["Theirs"]),
    "/rollout/matters": (["Swaps here", "So it is"], ["Swaps there"]),
    "/rollout/releases": (["2.4", "county-01"], ["county-02"]),
    "/rollout/channels": (["gw-county-01"], ["gw-county-02"]),
    "/rollout/assessments": (["county-01"], ["county-02"]),
}


def fill(connection: Connection) -> None:
    """The same of both counties, so that what a page shows of the other would be seen."""
    at = MONDAY + DAY
    load_plan(connection, parse_plan(PLAN, INDICATORS), "planner", MONDAY)
    make_release(connection, "2.4", "June", "Swaps in one step", "desk", at)
    release_step(connection, "2.4", "deploy", ["county-01", "county-02"], "night", "desk", at)
    for unit, title, where in (("county-01", "Ours", "here"), ("county-02", "Theirs", "there")):
        open_ticket(connection, RULES, Kind.DEMAND, unit, Priority.LOW, title, "B", "x", at)
        matter = raise_matter(connection, unit, "metering", f"Swaps {where}", "b", "x", at, cross_department=False)
        decide(connection, "So it is", "li.wei", date(2040, 7, 1), "boss", at, matter_id=matter)
        slow = summarise([2.5] * 5, 1e6, (0.0, 0.1))
        file_probe(connection, unit, f"gw-{unit}", at, slow, Limits(), "x", at, Traffic(400, 1, 900))
    version = propose_weights(connection, parse_weights(WEIGHTS, INDICATORS), "order", "worker", at)
    approve_weights(connection, version, "leader", at)
    assess(connection, version, "unit", MONDAY - DAY, at, "worker", at, SHANGHAI)


@contextmanager
def rollout_console(database: Any, folder: Path) -> Iterator[str]:
    """The pages of the roll-out, for a token of county 1 and one of the working group."""
    tokens = folder / "tokens.toml"
    tokens.write_text(
        f'[[tokens]]\nname = "Li"\nsha256 = "{hash_of("secret")}"\nroles = ["unit"]\nunit = "county-01"\n'
        f'[[tokens]]\nname = "Wu"\nsha256 = "{hash_of("wus-token")}"\nroles = ["working_group"]\n'
    )
    pool = ConnectionPool[Connection](database.conninfo("app"), kwargs={"autocommit": True}, min_size=1, open=False)
    limiter = RateLimiter(1_000, 1_000, time.monotonic)
    with pool:
        desk = Desk(pool, Tokens(tokens), limiter, limiter, lambda: MONDAY + 6 * DAY)
        routers = (
            *rollout_routers(desk, SHANGHAI, lambda _: RULES), rollout_page_router(desk, SHANGHAI),
            rollout_lists_router(desk, SHANGHAI),
        )  # fmt: skip
        with serving(Hub({}, {}, LiveLimits()), routers) as base:
            yield base


@pytest.mark.parametrize("size", SIZES)
def test_lists_show_a_unit_its_own_and_the_groups_all(database: Any, tmp_path: Path, size: str) -> None:
    with connect(database.conninfo("app"), "test") as connection:
        connection.autocommit = True
        load_grid(connection, rollout_model())
        fill(connection)
    with rollout_console(database, tmp_path) as base, chromium() as browser:
        visit = Visit(browser, base, size)
        page = visit.page
        assert {address for address, _ in PAGES} == {"/rollout", *SEEN}
        page.goto(f"{base}/rollout")
        for address, (own, others) in SEEN.items():
            page.get_by_role("navigation").locator(f'a[href="{address}"]').click()
            page.get_by_label("Token").fill("secret")
            page.get_by_role("button").click()
            expect(page.get_by_role("heading", level=2).first).to_be_visible()
            text = page.locator("main").inner_text()
            assert [word for word in own if word not in text] == [], address
            assert [word for word in others if word in text] == [], address
            visit.check(f"rollout{address.replace('/', '-')}")
            page.goto(f"{base}{address}")
            page.get_by_label("Token").fill("wus-token")
            page.get_by_label("Language").select_option("zh")
            page.get_by_role("button").click()
            expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
            text = page.locator("main").inner_text()
            assert [word for word in (*own, *others) if word not in text] == [], address
        # As it was known before there was anything.
        page.goto(f"{base}/rollout/plan")
        page.get_by_label("Token").fill("secret")
        page.get_by_label("As known at").fill((MONDAY - DAY).isoformat())
        page.get_by_role("button").click()
        expect(page.get_by_text("Nothing")).to_have_count(2)


@pytest.mark.parametrize(
    ("address", "typed", "status", "said"),
    [
        ("/rollout/tickets", {"token": "wrong"}, 401, "token"),
        ("/rollout/tickets", {"token": "secret", "unit": "county-02"}, 403, "county-01 sees itself"),
        ("/rollout/plan", {"token": "wus-token", "unit": "county-77"}, 404, "no organisation county-77"),
        ("/rollout/plan", {"token": "wus-token", "at": "yesterday"}, 422, "an instant with its zone"),
        ("/rollout/figure/progress", {"token": "wus-token", "since": "2040-06-04"}, 422, "an instant with its zone"),
        ("/rollout/figure/progress", {"token": "secret", "unit": "county-02"}, 403, "county-01 sees itself"),
        ("/rollout/figure/luck", {"token": "secret"}, 404, "no indicator"),
    ],
)
def test_pages_say_what_is_wrong(
    database: Any, tmp_path: Path, address: str, typed: dict[str, str], status: int, said: str
) -> None:
    with connect(database.conninfo("app"), "test") as connection:
        load_grid(connection, rollout_model())
    with rollout_console(database, tmp_path) as base:
        answer = httpx.post(f"{base}{address}", data=typed)
    assert (answer.status_code, 'role="alert"' in answer.text) == (status, True)
    assert said in answer.text
    # What was typed stands there again, but the token.
    assert all((value in answer.text) is (name != "token") for name, value in typed.items() if said != "no indicator")


@pytest.mark.parametrize("size", SIZES)
def test_a_unit_reads_its_report(database: Any, tmp_path: Path, size: str) -> None:
    with connect(database.conninfo("app"), "test") as connection:
        load_grid(connection, rollout_model())
        load_plan(connection, parse_plan(PLAN, INDICATORS), "planner", MONDAY)
    with rollout_console(database, tmp_path) as base, chromium() as browser:
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
        # A figure leads to its statement and parameters; asked again it says the same.
        shown = page.get_by_role("row", name="Milestones passed, share").get_by_role("link")
        share = shown.inner_text()
        shown.click()
        expect(page.get_by_label("Unit")).to_have_value("county-01")
        visit.check("rollout-figure-form")
        page.get_by_label("Token").fill("secret")
        page.get_by_role("button").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Milestones passed, share")
        expect(page.locator("td[data-name=value]")).to_have_text(share)
        expect(page.locator("td[data-name=whole]")).to_have_text("1")
        expect(page.locator("td[data-name=zone]")).to_have_text(SHANGHAI.key)
        expect(page.locator("pre")).to_have_text(statement_of("progress"))
        visit.check("rollout-figure")
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
