"""Pictures for reports: a PNG of every kind of picture, whatever is asked, with what is missing said."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from matplotlib.image import imread

from console.asking import Answer, AskError
from console.payload import Shown
from console.reading import Look
from console.snapshot import DARK, LIGHT, Paint, save_board, save_panel
from deploy.boards.model import Panel
from tests.console_boards import REGION_BOARD

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
HOURS = [NOW - timedelta(hours=hour) for hour in range(24)]
PANELS = {place.panel.key: place.panel for place in REGION_BOARD.places}


def answer(columns: str, *rows: tuple[Any, ...], edges: Answer | None = None) -> Shown:
    found = Answer(tuple(columns.split()), rows, more=False, took_s=0.0)
    return Shown(found, edges, NOW.timestamp() - 86_400, NOW.timestamp(), 300.0)


ENDS = Answer(("id", "source", "target"), (("e", "S", "A"), ("f", "S", "nowhere")), more=False, took_s=0.0)
SHOWN: dict[str, Shown | AskError] = {
    "figures": answer("units rate", (85, None)),
    "loading": answer("feeder part", ("F1", 0.42), ("F2 馈线", 1.97)),
    "voltages": answer("band a b", ("215 V", 1, 2), ("220 V", None, 4)),
    "change": answer("part from_wh to_wh kind", ("last", 0.0, 1200.0, "total"), ("gone", 1200.0, 800.0, "fall")),
    "areas": answer("area rate class", *((f"台区 {n}", n / 100, "high" if n > 10 else "normal") for n in range(300))),
    "loss": answer("time loss low high most", *((at, 0.1 if at.hour else None, 0, 1, 1) for at in HOURS)),
    "supply": answer("time metric power_w", *((at, feeder, 5_000.0) for at in HOURS for feeder in ("F1", "F22"))),
    "map": answer(
        "area name class longitude_deg latitude_deg", ("A1", "A1", "high", 121.4, 31.2), ("A2", "", "x", None, 1)
    ),
    "network": answer("id title subtitle state", ("S", "S", "", "normal"), ("A", "$A$", "", "high"), edges=ENDS),
    "nothing": answer("one"),
    "broken": AskError("the database refused the query (division by zero)"),
}


def pixels(picture: BytesIO) -> Any:
    return imread(BytesIO(picture.getvalue()))


@pytest.mark.parametrize("paint", [LIGHT, DARK], ids=["light", "dark"])
def test_a_board_is_one_picture_with_every_panel(paint: Paint) -> None:
    picture = BytesIO()
    save_board(picture, Look(REGION_BOARD, NOW, {"region": "north"}, SHOWN), ZONE, paint)
    image = pixels(picture)
    rows = max(place.y + place.height for place in REGION_BOARD.places)
    assert image.shape[:2] == ((rows + 1) * 38, 1920)
    for place in REGION_BOARD.places:
        inside = image[(place.y + 1) * 38 + 30 : (place.y + place.height + 1) * 38 - 12, place.x * 80 + 14 :]
        inside = inside[:, : place.width * 80 - 30]
        assert len(np.unique(inside.reshape(-1, inside.shape[2]), axis=0)) > 3, place.panel.key


@pytest.mark.parametrize("panel", PANELS.values(), ids=lambda panel: panel.key)
def test_a_panel_is_a_picture_of_its_own_and_follows_its_data(panel: Panel) -> None:
    picture, other = BytesIO(), BytesIO()
    save_panel(picture, panel, SHOWN[panel.key], ZONE)
    assert pixels(picture).shape[:2] == (500, 1000)
    save_panel(other, replace(panel, nothing="Nothing at all"), answer("one"), ZONE)
    assert picture.getvalue() != other.getvalue()
