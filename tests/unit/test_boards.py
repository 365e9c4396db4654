"""Boards as code: the panels are sound, and the JSON in the repository is what they draw."""

import dataclasses
import itertools
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.boards.__main__ import DIRECTORY, RULES_FILE, main
from deploy.boards.chinese import CHINESE
from deploy.boards.chinese_descriptions import DESCRIPTIONS
from deploy.boards.control_room import CONTROL_ROOM
from deploy.boards.grafana import draw, dumps, files, loads
from deploy.boards.grafana_fields import DATASOURCE_TYPE, DATASOURCE_UIDS, PostgresQuery
from deploy.boards.health import RULES, rules_file
from deploy.boards.language import Language, in_language, texts
from deploy.boards.macros import bind, expand
from deploy.boards.model import Annotation, Board, Colour, Column, Link, Panel, Picture, Place, Source, Step, Variable
from deploy.boards.registry import BOARDS

PANELS = [place.panel for board in BOARDS for place in board.places]
SINCE = datetime(2026, 11, 21, 2, tzinfo=UTC)
UNTIL = datetime(2026, 11, 22, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
VALUES = {"region": "*", "substation": "*", "feeder": "F", "area": "A", "meter": "*", "finding": "0"}


def panel(key: str = "p", **changes: object) -> Panel:
    made = Panel(key=key, title="P", description="", sql="select 1 as a", picture=Picture.TABLE)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_json_in_the_repository_is_up_to_date() -> None:
    assert main(["--check"]) == 0
    there = {path.relative_to(DIRECTORY).as_posix() for path in DIRECTORY.rglob("*.json")}
    assert there == set(dict(files()))
    operations = [board for board in BOARDS if board.source is Source.OPERATIONS]
    assert len(there) == 2 * (len(BOARDS) + len(operations))


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_json_survives_the_types_of_the_sdk(board: Board, language: Language) -> None:
    text = dumps(board, language)
    read = loads(text)
    again = json.dumps(read, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert again == text
    for drawn, place in zip(read.panels or [], board.places, strict=True):
        queries = drawn.targets or []  # type: ignore[union-attr]
        assert all(isinstance(query, PostgresQuery) for query in queries)
        assert len(queries) == (1 if place.panel.edges is None else 2)
    for annotation in read.annotations.list_val or []:
        assert isinstance(annotation.target, PostgresQuery)


def test_default_board_refreshes_and_shows_the_last_day() -> None:
    drawn = json.loads(dumps(CONTROL_ROOM))
    assert drawn["uid"] == "meterline-control-room"
    assert drawn["refresh"] == "5s"
    # That of the organisation or the server: the utility's, not the viewer's.
    assert drawn["timezone"] == ""
    assert drawn["time"] == {"from": "now-24h", "to": "now"}
    assert {p["datasource"]["uid"] for p in drawn["panels"]} == {"meterline"}
    assert [p["id"] for p in drawn["panels"]] == list(range(1, len(CONTROL_ROOM.places) + 1))


def test_default_board_fits_one_screen() -> None:
    # A row of Grafana is 30 px high with 8 px between; its header takes about 150 px.
    rows = max(place.y + place.height for place in CONTROL_ROOM.places)
    assert rows * 38 + 150 <= 1080


@pytest.mark.parametrize("drawn", PANELS, ids=lambda p: p.key)
def test_panel_asks_for_a_bounded_range(drawn: Panel) -> None:
    for statement in filter(None, (drawn.sql, drawn.edges)):
        sql = expand(statement, SINCE, UNTIL, MINUTE, VALUES)
        for table in ("loss.balance", "telemetry.block"):
            for read in sql.split(table)[1:]:
                assert "observed_at > now() - interval" in read or "observed_at between" in read
        for read in sql.split("loss.period\n")[1:]:
            assert "first_day" in read or "ends_at between" in read
        assert "%" not in statement
    assert drawn.description.endswith(".")


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


@pytest.mark.parametrize(("source", "folder"), [(Source.OPERATIONS, "provisioning"), (Source.REVENUE, "revenue")])
def test_provisioned_data_sources_are_those_that_panels_name(source: Source, folder: str) -> None:
    files_of = DIRECTORY.parents[1] / "grafana" / folder / "datasources"
    text = "".join(path.read_text(encoding="utf-8") for path in files_of.glob("*.yaml"))
    assert f"uid: {DATASOURCE_UIDS[source]}\n" in text
    assert f"type: {DATASOURCE_TYPE}\n" in text
    assert "timescaledb: true\n" in text
    # No address, name or secret stands in the file.
    for key in ("url", "user", "database", "password"):
        for value in re.findall(rf"^ +{key}: (.*)$", text, re.MULTILINE):
            assert value.startswith("$"), key


def test_only_revenue_protection_asks_for_what_is_below_the_area() -> None:
    for board in BOARDS:
        statements = [p.panel.sql for p in board.places] + [a.sql for a in board.annotations]
        below = any("newest_readings" in sql or "meter_series" in sql or "f.meter" in sql for sql in statements)
        assert below == (board.source is Source.REVENUE), board.uid


def test_operations_are_not_led_to_boards_of_revenue_protection() -> None:
    hidden = {board.uid for board in BOARDS if board.source is Source.REVENUE}
    for name, text in files():
        if name.startswith("operations/"):
            assert not [uid for uid in hidden if f"/d/{uid}" in text], name


@pytest.mark.parametrize("folder", ["provisioning", "revenue"])
def test_links_lead_to_boards_that_are_provisioned_beside_them(folder: str) -> None:
    text = (DIRECTORY.parents[1] / f"grafana/{folder}/dashboards/meterline.yaml").read_text(encoding="utf-8")
    mounted = [DIRECTORY / path for path in re.findall(r"^ +path: /etc/meterline/boards/(.*)$", text, re.MULTILINE)]
    assert all(path.is_dir() for path in mounted)
    boards = {json.loads(text)["uid"]: text for path in mounted for text in map(_read, sorted(path.glob("*.json")))}
    # No uid twice: Grafana would refuse both folders.
    assert len(boards) == sum(len(list(path.glob("*.json"))) for path in mounted)
    ends = {uid: set(re.findall(r"/d/([a-z-]+)\?", text)) for uid, text in boards.items()}
    assert {end for found in ends.values() for end in found} <= set(boards)
    assert all(end.endswith("-zh") == uid.endswith("-zh") for uid, found in ends.items() for end in found)
    # Down from the area to its meters, where they may be seen.
    assert ("meterline-usage" in ends["meterline-area"]) == (folder == "revenue")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_every_board_and_panel_is_described_in_chinese_too() -> None:
    keys = {panel.key for panel in PANELS} | {board.uid for board in BOARDS}
    assert set(DESCRIPTIONS) == keys
    said = in_language(CONTROL_ROOM, Language.CHINESE)
    assert said.description == DESCRIPTIONS["meterline-control-room"]
    assert all(place.panel.description == DESCRIPTIONS[place.panel.key] for place in said.places)
    # Nothing is left in English but names of commands, tables and the like.
    for key, text in DESCRIPTIONS.items():
        assert text.endswith("。"), key
        assert not re.findall(r"[A-Za-z]+ [A-Za-z]+ [A-Za-z]+", re.sub(r"`[^`]*`", "", text)), key


def test_what_stands_for_all_is_said_in_chinese_too() -> None:
    region, substation = in_language(CONTROL_ROOM, Language.CHINESE).variables
    assert "'*' as __value, '全部' as __text" in region.sql
    assert "'全部'" in substation.sql
    assert "'All'" not in region.sql + substation.sql


def test_every_title_is_in_chinese_too() -> None:
    said = {text for board in BOARDS for text in texts(board)} - {""}
    assert said - set(CHINESE) == set()
    assert set(CHINESE) - said == set()
    assert in_language(CONTROL_ROOM, Language.CHINESE).title == "Meterline：调度控制室"
    assert json.loads(dumps(CONTROL_ROOM, Language.CHINESE))["panels"][0]["title"] == "当前供电与线损"


def test_a_place_is_kept_from_board_to_board() -> None:
    """From region to substation, feeder, area, meter and back: each link fills variables that its end has."""
    boards = {board.uid: board for board in BOARDS}
    seen = set()
    for board in BOARDS:
        columns = [(p.panel, c.link) for p in board.places for c in p.panel.columns if c.link is not None]
        for panel_of, link in columns:
            assert link.columns <= {c.name for c in panel_of.columns}
        for link in (*board.links, *(link for _, link in columns)):
            if link.board is None:
                continue
            known = {variable.name for variable in boards[link.board].variables}
            assert set(link.keep) | {variable for variable, _ in link.values} <= known, link.title
            seen.add((board.uid, link.board))
    down = ["meterline-control-room", "meterline-feeder", "meterline-area", "meterline-usage"]
    for upper, lower in itertools.pairwise(down):
        assert {(upper, lower), (lower, upper)} <= seen


def test_drawing_names_what_grafana_needs_of_each_picture() -> None:
    drawn = {p["title"]: p for board in BOARDS for p in json.loads(dumps(board))["panels"]}
    figure = drawn["Supply and loss now"]
    assert figure["options"]["text"]["valueSize"] >= 28
    network = drawn["Network of the feeder as it is switched now"]
    assert [target["refId"] for target in network["targets"]] == ["A", "B"]
    assert "as color" in network["targets"][0]["rawSql"]
    (layer,) = drawn["Feeders by class now"]["options"]["layers"]
    assert layer["config"]["style"]["color"]["field"] == "class"
    assert layer["location"]["longitude"] == "longitude_deg"
    assert drawn["Why the loss changed, last full day against the day before"]["options"]["xField"] == "part"
    feeder = json.loads(dumps(next(b for b in BOARDS if b.uid == "meterline-feeder")))
    assert [v["name"] for v in feeder["templating"]["list"]] == ["region", "substation", "feeder"]
    assert feeder["templating"]["list"][2]["query"].startswith("with here as")
    assert [a["name"] for a in feeder["annotations"]["list"]] == ["Switching", "Alerts", "Restatements"]


def test_links_are_drawn() -> None:
    linked = panel(links=(Link("On", "meterline-control-room"),))
    board = Board("uid-uid-uid", "T", "", (Place(linked, 0, 0, 4, 4),))
    (drawn,) = json.loads(json.dumps(draw(board), cls=JSONEncoder))["panels"]
    assert drawn["links"][0]["url"] == "/d/meterline-control-room?${__url_time_range}"


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
        lambda: Column("a", "A", most=0),
        lambda: Link("L"),
        lambda: Link("L", "b", path="/a"),
        lambda: Link("L", path="alerts"),
        lambda: Link("L", path="//elsewhere.example.org"),
        lambda: Variable("A", "A", "select 1"),
        lambda: Variable("a", "A", "select 1; select 2"),
        lambda: Variable("a", "A", "select 'All'", says=("None",)),
        lambda: Annotation("a", "A", "select 1; select 2", Colour.BAD),
        lambda: panel(edges="select 1"),
        lambda: panel(picture=Picture.NETWORK),
        lambda: panel(links=(Link("L", "b", values=(("v", "c"),)),)),
        lambda: Board("uid-uid-uid", "T", "", (Place(panel(sql="select ${v:sqlstring}"), 0, 0, 4, 4),)),
        lambda: Board("uid-uid-uid", "T", "", (), variables=(Variable("a", "A", "select ${b:sqlstring}"),)),
        lambda: Board("uid-uid-uid", "T", "", (), links=(Link("L", "b", keep=("v",)),)),
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


def test_days_are_counted_in_the_zone_that_is_given() -> None:
    sql = "select date_trunc('day', a at time zone '$__timezone') at time zone '$__timezone'"
    drawn = expand(sql, SINCE, UNTIL, MINUTE, zone="Asia/Shanghai")
    assert drawn == "select date_trunc('day', a at time zone 'Asia/Shanghai') at time zone 'Asia/Shanghai'"
    text, parameters = bind(sql, SINCE, UNTIL, MINUTE, zone="Asia/Shanghai")
    assert text == "select date_trunc('day', a at time zone %(zone)s::text) at time zone %(zone)s::text"
    assert parameters == {"zone": "Asia/Shanghai"}
    assert expand("select '$__timezone'", SINCE, UNTIL, MINUTE) == "select 'UTC'"


def test_variables_become_quoted_texts_and_nothing_else() -> None:
    sql = "select 5 % 2, ${a:sqlstring} where b = ${a:sqlstring} and c = ${b:sqlstring}"
    values = {"a": "O'Hara; drop table x --", "b": "%(var_a)s::text ${a:sqlstring} $__timeFrom()"}
    quoted = "'O''Hara; drop table x --'"
    assert expand(sql, SINCE, UNTIL, MINUTE, values) == (
        f"select 5 % 2, {quoted} where b = {quoted} and c = '%(var_a)s::text ${{a:sqlstring}} $__timeFrom()'"
    )
    text, parameters = bind(sql, SINCE, UNTIL, MINUTE, values)
    assert text == "select 5 %% 2, %(var_a)s::text where b = %(var_a)s::text and c = %(var_b)s::text"
    assert parameters == {"var_a": values["a"], "var_b": values["b"]}
    with pytest.raises(ValueError, match="unknown variable b"):
        bind(sql, SINCE, UNTIL, MINUTE, {"a": "x"})


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


def test_alert_rules_name_the_data_source_and_the_contact_point() -> None:
    (group,) = json.loads(rules_file())["groups"]
    assert {rule["title"] for rule in group["rules"]} == {rule.title for rule in RULES}
    contact = (RULES_FILE.parent / "contact.yaml").read_text(encoding="utf-8")
    assert "addresses: $METERLINE_CONTACT_ADDRESSES" in contact
    for rule in group["rules"]:
        figure, limit = rule["data"]
        assert figure["datasourceUid"] == "meterline"
        assert limit["model"]["expression"] == figure["refId"]
        assert rule["condition"] == limit["refId"]
        assert len(rule["uid"]) <= 40
        assert f"name: {rule['notification_settings']['receiver']}\n" in contact
