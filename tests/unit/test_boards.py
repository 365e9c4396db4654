"""Boards as code: the panels are sound, and the JSON in the repository is what they draw."""

import dataclasses
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.boards.__main__ import DIRECTORY, main
from deploy.boards.control_room import BOARDS, CONTROL_ROOM
from deploy.boards.grafana import DATASOURCE_TYPE, DATASOURCE_UID, PostgresQuery, draw, dumps, loads
from deploy.boards.macros import expand
from deploy.boards.model import Board, Colour, Column, Link, Panel, Picture, Place, Step

PANELS = [place.panel for board in BOARDS for place in board.places]
SINCE = datetime(2026, 11, 21, 2, tzinfo=UTC)
UNTIL = datetime(2026, 11, 22, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def panel(key: str = "p", **changes: object) -> Panel:
    made = Panel(key=key, title="P", description="", sql="select 1 as a", picture=Picture.TABLE)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_json_in_the_repository_is_up_to_date() -> None:
    assert main(["--check"]) == 0
    assert {path.name for path in DIRECTORY.glob("*.json")} == {
        board.uid.removeprefix("meterline-") + ".json" for board in BOARDS
    }


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_json_survives_the_types_of_the_sdk(board: Board) -> None:
    text = dumps(board)
    again = json.dumps(loads(text), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert again == text
    for drawn in loads(text).panels or []:
        (target,) = drawn.targets  # type: ignore[union-attr, misc]
        assert isinstance(target, PostgresQuery)


def test_default_board_refreshes_and_shows_the_last_day() -> None:
    drawn = json.loads(dumps(CONTROL_ROOM))
    assert drawn["uid"] == "meterline-control-room"
    assert drawn["refresh"] == "5s"
    assert drawn["timezone"] == "browser"
    assert drawn["time"] == {"from": "now-24h", "to": "now"}
    assert {p["datasource"]["uid"] for p in drawn["panels"]} == {DATASOURCE_UID}
    assert [p["id"] for p in drawn["panels"]] == list(range(1, len(CONTROL_ROOM.places) + 1))


def test_default_board_fits_one_screen() -> None:
    # A row of Grafana is 30 px high with 8 px between; its header takes about 150 px.
    rows = max(place.y + place.height for place in CONTROL_ROOM.places)
    assert rows * 38 + 150 <= 1080


@pytest.mark.parametrize("drawn", PANELS, ids=lambda p: p.key)
def test_panel_asks_for_a_bounded_range(drawn: Panel) -> None:
    sql = expand(drawn.sql, SINCE, UNTIL, MINUTE)
    for table in ("loss.balance", "telemetry.block"):
        for read in sql.split(table)[1:]:
            assert "observed_at" in read
            assert "observed_at > now() - interval" in read or "observed_at between" in read
    assert drawn.description.endswith(".")
    assert "%" not in drawn.sql


@pytest.mark.parametrize("drawn", [p for p in PANELS if p.picture is Picture.TABLE], ids=lambda p: p.key)
def test_tables_show_the_age_of_their_values(drawn: Panel) -> None:
    assert "age_s" in [column.name for column in drawn.columns]


def test_stale_values_are_red() -> None:
    feeders = next(p for p in json.loads(dumps(CONTROL_ROOM))["panels"] if p["title"] == "Loss now by feeder")
    (status,) = [o for o in feeders["fieldConfig"]["overrides"] if o["matcher"]["options"] == "status"]
    values = {p["id"]: p["value"] for p in status["properties"]}
    assert values["mappings"][0]["options"]["stale"]["color"] == "red"
    assert values["mappings"][0]["options"]["live"]["color"] == "green"
    assert values["custom.cellOptions"] == {"type": "color-text"}


def test_provisioned_data_source_is_the_one_that_panels_name() -> None:
    folder = DIRECTORY.parents[1] / "grafana" / "provisioning"
    source = (folder / "datasources" / "meterline.yaml").read_text(encoding="utf-8")
    assert f"uid: {DATASOURCE_UID}\n" in source
    assert f"type: {DATASOURCE_TYPE}\n" in source
    # No address, name or secret stands in the file.
    for key in ("url", "user", "database", "password"):
        (value,) = re.findall(rf"^ +{key}: (.*)$", source, re.MULTILINE)
        assert value.startswith("$"), key


def test_links_are_drawn() -> None:
    linked = panel(links=(Link("On", "/d/meterline-control-room"),))
    board = Board("uid-uid-uid", "T", "", (Place(linked, 0, 0, 4, 4),))
    (drawn,) = json.loads(json.dumps(draw(board), cls=JSONEncoder))["panels"]
    assert drawn["links"][0]["url"] == "/d/meterline-control-room"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: panel("Not a key"),
        lambda: panel(sql="select 1; drop table x"),
        lambda: panel(span="an hour"),
        lambda: panel(columns=(Column("a", "A"), Column("a", "B"))),
        lambda: panel(columns=(Column("a", "A"),), band=("a", "b")),
        lambda: Column("a b", "A"),
        lambda: Column("a", "A", steps=(Step(2, Colour.BAD), Step(1, Colour.GOOD))),
        lambda: Place(panel(), x=20, y=0, width=5, height=1),
        lambda: Board("short", "T", "", ()),
        lambda: Board("uid-uid-uid", "T", "", (Place(panel("a"), 0, 0, 4, 4), Place(panel("b"), 3, 3, 4, 4))),
        lambda: Board("uid-uid-uid", "T", "", (Place(panel("a"), 0, 0, 4, 4), Place(panel("a"), 4, 0, 4, 4))),
    ],
)
def test_a_wrong_definition_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        wrong()  # type: ignore[operator]


def test_macros_become_literals() -> None:
    sql = "select $__timeFrom(), interval '$__interval' from t where $__timeFilter(t.at) or t.at = $__timeTo()"
    since, until = "timestamptz '2026-11-21T02:00:00+00:00'", "timestamptz '2026-11-22T02:00:00+00:00'"
    assert expand(sql, SINCE, UNTIL, timedelta(minutes=2)) == (
        f"select {since}, interval '120s' from t where t.at between {since} and {until} or t.at = {until}"
    )


@pytest.mark.parametrize(
    ("sql", "since", "until", "step", "message"),
    [
        ("select 1", SINCE.replace(tzinfo=None), UNTIL, MINUTE, "aware"),
        ("select 1", UNTIL, SINCE, MINUTE, "empty"),
        ("select 1", SINCE, UNTIL, timedelta(milliseconds=1), "second"),
        ("select $__unixEpochFilter(a)", SINCE, UNTIL, MINUTE, r"\$__unixEpochFilter"),
        ("select $__interval_ms", SINCE, UNTIL, MINUTE, r"\$__interval_ms"),
    ],
)
def test_macros_that_cannot_be_filled_are_refused(
    sql: str, since: datetime, until: datetime, step: timedelta, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        expand(sql, since, until, step)
