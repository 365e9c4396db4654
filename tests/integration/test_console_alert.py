"""An alert is acknowledged from its row: from the control room to its page, with a token, in a real browser."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import expect
from psycopg_pool import ConnectionPool

from console.api import desk_routers
from console.api.desk import Desk
from console.api.tokens import RateLimiter, Tokens, hash_of
from console.asking import Asker, AskLimits
from console.live import Hub, LiveLimits
from deploy.boards.model import Source
from deploy.boards.registry import BOARDS
from store.connection import Connection
from tests.browser import SIZES, Visit, chromium
from tests.console_server import serving

UNIT = "insert into grid.unit (code, kind, name, gateway) values ('F1', 'feeder', 'Feeder 1', 'g')"
ALERT = """
insert into alerts.alert (group_key, fingerprint, kind, severity, unit_id, evidence)
select
  'high_loss:F1', 'high_loss:F1', 'high_loss', 'warning', unit_id, '{"loss_rate": 0.125, "loss_wh": 192000}'
from grid.unit
"""


@pytest.mark.parametrize("size", SIZES)
def test_an_alert_is_acknowledged_from_its_row(database: Any, tmp_path: Path, size: str) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'[[tokens]]\nname = "Li"\nsha256 = "{hash_of("secret")}"\nroles = ["control_room"]\n')
    with psycopg.connect(database.conninfo("app")) as app:
        app.execute(UNIT)
        row = app.execute(f"{ALERT} returning opened_at at time zone 'Asia/Shanghai'").fetchone()
        assert row is not None
        (opened_at,) = row
    pool = ConnectionPool[Connection](database.conninfo("app"), kwargs={"autocommit": True}, min_size=1, open=False)
    limiter = RateLimiter(1_000, 1_000, time.monotonic)
    with pool, Asker(database.conninfo("board"), AskLimits()) as asker, chromium() as browser:
        hub = Hub({b.uid: b for b in BOARDS}, {Source.OPERATIONS: asker}, LiveLimits(refresh_s=0.5))
        desk = Desk(pool, Tokens(tokens), limiter, limiter, lambda: datetime.now(UTC))
        with serving(hub, desk_routers(desk)) as base:
            visit = Visit(browser, base, size)
            page = visit.open("/boards/meterline-control-room?lang=en")
            page.locator("[data-panel=open_alerts] tbody a").first.click()
            page.wait_for_url("**/alerts/*")
            assert page.url.endswith("?lang=en")
            visit.check("alert-sign-in")
            page.get_by_label("Token").fill("secret")
            page.get_by_role("button", name="Go on").click()
            expect(page.locator("#fields")).to_contain_text("high_loss")
            # The utility's time, whatever the browser's zone.
            expect(page.locator("#fields")).to_contain_text(f"{opened_at:%d/%m/%Y, %H:%M:%S}")
            expect(page.locator("#figures")).to_contain_text("12.5 %")
            expect(page.locator("#figures")).to_contain_text("192.0 kWh")
            page.get_by_label("Reason").fill("seen in the control room")
            page.get_by_role("button", name="Submit").click()
            expect(page.locator("#history")).to_contain_text("seen in the control room")
            visit.check("alert")
            # A notice of several leads to their group.
            page.goto(f"{base}/alerts?group=high_loss%3AF1")
            expect(page.locator("#alerts tr")).to_have_count(1)
            visit.check("alert-group")
            page.goto(f"{base}/alerts?group=other")
            expect(page.locator("#more")).to_have_text("No such alert")
            page.goto(f"{base}/alerts?group=high_loss%3AF1&lang=en")
            page.locator("#alerts a").click()
            expect(page.locator("#history")).to_contain_text("seen in the control room")
            page.locator("#home").click()
            page.wait_for_url("**/boards/meterline-control-room?lang=en")
    with psycopg.connect(database.conninfo("app")) as app:
        assert app.execute("select state from alerts.alert").fetchall() == [("acknowledged",)]


def test_a_wrong_token_is_told_and_forgotten(database: Any, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'[[tokens]]\nname = "Li"\nsha256 = "{hash_of("secret")}"\nroles = ["control_room"]\n')
    pool = ConnectionPool[Connection](database.conninfo("app"), kwargs={"autocommit": True}, min_size=1, open=False)
    limiter = RateLimiter(1_000, 1_000, time.monotonic)
    with pool, Asker(database.conninfo("board"), AskLimits()) as asker, chromium() as browser:
        hub = Hub({b.uid: b for b in BOARDS}, {Source.OPERATIONS: asker}, LiveLimits())
        desk = Desk(pool, Tokens(tokens), limiter, limiter, lambda: datetime.now(UTC))
        with serving(hub, desk_routers(desk)) as base:
            page = Visit(browser, base, "desk").page
            page.goto(f"{base}/alerts/1")
            page.get_by_label("Token").fill("wrong")
            page.get_by_role("button", name="Go on").click()
            expect(page.locator("#lost")).to_be_visible()
            expect(page.locator("#sign")).to_be_visible()
            assert page.evaluate("sessionStorage.length") == 0
