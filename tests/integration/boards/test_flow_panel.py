"""The panel of how alerts flow, from steps taken by the true functions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.lifecycle import Action
from alerts.operate import operate
from deploy.boards.panels import alerts
from store.alerts import NewAlert, open_alerts, resolve_alerts
from store.connection import connect
from sync.load import load_grid
from tests.integration.boards.conftest import Connection, ask
from tests.small_grid import small_model

HOUR = timedelta(hours=1)


def test_stages_are_counted_and_timed_by_department(database: Any, board: Connection) -> None:
    begin = datetime.now(UTC) - 20 * HOUR
    with connect(database.conninfo("app"), "test") as app:
        app.autocommit = True
        load_grid(app, small_model())
        (unit_id,) = app.execute("select unit_id from grid.unit where code = 'A1'").fetchone() or (0,)
        new = [
            NewAlert(f"high_loss:{n}", "high_loss", "warning", unit_id, begin, {}, role="marketing") for n in range(4)
        ]
        with app.transaction():
            ids = list(open_alerts(app, new, "the condition holds").values())
            resolve_alerts(app, [(ids[3], {})], begin + 4 * HOUR, "the condition has passed")
        for number, hours in zip(ids[:2], (2, 6), strict=True):
            operate(app, number, Action.ASSIGN, "li", "hers", begin + HOUR, assignee="wang")
            operate(app, number, Action.ACKNOWLEDGE, "wang", "seen", begin + hours * HOUR)
    rows = {row["state"]: row for row in ask(board, alerts.FLOW)}
    # What has passed by itself waits for nobody.
    assert set(rows) == {"open", "acknowledged"}
    assert (rows["open"]["role"], rows["open"]["waiting"], rows["open"]["ended"]) == ("marketing", 1, 3)
    assert rows["open"]["p50_s"] == pytest.approx(4 * 3_600)
    assert rows["open"]["age_s"] == pytest.approx(20 * 3_600, abs=300)
    assert (rows["acknowledged"]["waiting"], rows["acknowledged"]["p50_s"]) == (2, None)
