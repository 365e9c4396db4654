"""The console's server against the real database: what it asks, how often, and what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from console.asking import Asker, AskError, AskLimits
from console.live import BusyError, Hub, LiveLimits, Question
from console.window import Range, Window
from deploy.boards.control_room import CONTROL_ROOM
from deploy.boards.model import Board, Panel, Picture, Place, Source, Variable
from tests.console_boards import AREA_BOARD, REGION_BOARD, TEST_BOARDS
from tests.console_server import serving
from tests.waiting import PATIENCE_S, Promise, until

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = Window(NOW - timedelta(days=1), NOW, timedelta(minutes=5))
REGION = Question("test-region", (("region", "north"),), Range("now-24h"))


@pytest.fixture
def asker(database: Any) -> Iterator[Asker]:
    with Asker(database.conninfo("board"), AskLimits(timeout_s=30, rows=100)) as made:
        yield made


def hub_of(asker: Asker, *boards: Board, **limits: Any) -> Hub:
    return Hub({board.uid: board for board in boards or TEST_BOARDS}, {Source.OPERATIONS: asker}, LiveLimits(**limits))


@pytest.fixture
def base(asker: Asker) -> Iterator[str]:
    """Address of a console with the test's boards."""
    with serving(hub_of(asker)) as address:
        yield address


def panel(sql: str, picture: Picture = Picture.TABLE) -> Panel:
    return Panel(key="one", title="One", description="", picture=picture, sql=sql)


def test_rows_are_limited_by_the_server(asker: Asker) -> None:
    answer = asker.ask("select generate_series(1, 1000000000) as n", DAY, {})
    assert len(answer.rows) == 100
    assert answer.more
    # A billion rows would be stopped by the time limit.
    assert not asker.ask("select generate_series(1, 100) as n", DAY, {}).more


def test_what_takes_too_long_is_stopped(database: Any, promise: Promise) -> None:
    with Asker(database.conninfo("board"), AskLimits(timeout_s=2)) as asker:
        assert asker.is_there()
        started = time.monotonic()
        with pytest.raises(AskError, match="longer than 2 s"):
            asker.ask("select pg_sleep(200)", DAY, {})
        promise("a question of more than 2 s is stopped", time.monotonic() - started, 4)


@pytest.mark.parametrize("chosen", ["x'; delete from grid.unit where '' = '", "%s", "${region}", "\\", "'"])
def test_what_was_chosen_is_a_value_whatever_it_looks_like(asker: Asker, chosen: str) -> None:
    (row,) = asker.ask("select ${area:sqlstring} as area, 5 % 3 as rest", DAY, {"area": chosen}).rows
    assert row == (chosen, 2)


def test_it_asks_as_the_boards_role_and_can_write_nothing(asker: Asker) -> None:
    ((user, read_only),) = asker.ask(
        "select current_user::text as u, current_setting('transaction_read_only') as r", DAY, {}
    ).rows
    assert (user, read_only) == ("meterline_board", "on")
    with pytest.raises(AskError, match=r"refused.*permission denied"):
        asker.ask("select * from grid.account", DAY, {})
    with pytest.raises(AskError, match="refused"):
        asker.ask("with gone as (delete from grid.unit returning unit_id) select * from gone", DAY, {})


def test_a_database_that_is_away_is_an_answer_too(promise: Promise) -> None:
    with Asker("host=127.0.0.1 port=1 user=x dbname=x", AskLimits(timeout_s=1)) as away:
        started = time.monotonic()
        with pytest.raises(AskError, match="no answer from the database"):
            away.ask("select 1", DAY, {})
        promise("an absent database is told", time.monotonic() - started, 3)
        assert not away.is_there()


async def events_of(hub: Hub, question: Question, rounds: int) -> list[tuple[str, Any]]:
    """Events until so many rounds are over."""
    found: list[tuple[str, Any]] = []
    async with contextlib.aclosing(hub.follow(question)) as chunks:
        async for chunk in chunks:
            kind, data = chunk.decode().removeprefix("event: ").rstrip("\n").split("\ndata: ")
            found.append((kind, json.loads(data)))
            rounds -= kind == "round"
            if not rounds:
                break
    return found


def test_a_board_is_asked_for_once_however_many_look(asker: Asker) -> None:
    async def look(viewers: int) -> tuple[int, list[list[tuple[str, Any]]]]:
        hub = hub_of(asker, refresh_s=0.5)
        seen = await asyncio.gather(*(events_of(hub, REGION, 2) for _ in range(viewers)))
        rounds, questions = hub.counters.rounds, hub.counters.questions
        await hub.close()
        assert questions == rounds * (len(REGION_BOARD.places) + 2)  # a network has two statements; and the marks
        return questions, seen

    alone, _ = asyncio.run(look(1))
    many, seen = asyncio.run(look(50))
    assert many == alone
    expected = {place.panel.key for place in REGION_BOARD.places}
    for events in seen:
        assert {data["panel"] for kind, data in events if kind in {"panel", "trouble"}} == expected
        assert [data["marks"][0]["text"] for kind, data in events if kind == "marks"] == ["Q1 open"] * sum(
            kind == "marks" for kind, _ in events
        )


def test_one_panel_that_fails_leaves_the_others(asker: Asker) -> None:
    async def look() -> list[tuple[str, Any]]:
        hub = hub_of(asker)
        try:
            return await events_of(hub, REGION, 1)
        finally:
            await hub.close()

    events = asyncio.run(look())
    assert [data["panel"] for kind, data in events if kind == "trouble"] == ["broken"]
    assert "division by zero" in next(data["message"] for kind, data in events if kind == "trouble")
    assert len([1 for kind, _ in events if kind == "panel"]) == len(REGION_BOARD.places) - 1


def test_a_link_to_what_the_list_has_no_room_for_is_followed(database: Any) -> None:
    every = Variable("one", "One", "select 'V' || n as __value, 'Nr. ' || n as __text from generate_series(1, 3000) n")
    board = replace(AREA_BOARD, variables=(every,), places=(), links=())
    with Asker(database.conninfo("board"), AskLimits()) as asker, serving(hub_of(asker, board)) as base:
        for wanted, last in (("V3000", "V3000"), ("V7", "V2000"), ("V3001", "V2000")):
            told = httpx.get(f"{base}/api/boards/test-area", params={"var-one": wanted}).json()
            assert told["values"] == {"one": "V1" if wanted == "V3001" else wanted}
            assert told["choices"]["one"][-1]["value"] == last
            assert len(told["choices"]["one"]) == 2_000 + (wanted == "V3000")


def test_choices_are_said_in_the_language_of_the_page(database: Any) -> None:
    with Asker(database.conninfo("board"), AskLimits()) as asker, serving(hub_of(asker, CONTROL_ROOM)) as base:
        for language, text in (("en", "All"), ("zh", "全部"), ("en", "All")):
            told = httpx.get(f"{base}/api/boards/meterline-control-room", params={"lang": language}).json()
            assert told["choices"]["region"] == [{"value": "*", "text": text}]
            assert "says" not in told["variables"][0]


def test_days_are_those_of_the_utility(database: Any) -> None:
    with Asker(database.conninfo("board"), AskLimits(), zone="Asia/Shanghai") as asker:
        answer = asker.ask("select timestamptz '2026-06-01T20:00Z' at time zone '$__timezone' as at", DAY, {})
    assert answer.rows == ((datetime(2026, 6, 2, 4),),)  # noqa: DTZ001 - a wall clock's


def test_nobody_looks_and_nothing_is_asked(asker: Asker) -> None:
    async def look() -> None:
        hub = hub_of(asker, refresh_s=3)
        await events_of(hub, REGION, 1)
        assert (hub.viewers, hub.watches) == (0, 1)
        # What was asked is kept for one interval: who comes back at once is answered from it.
        before = hub.counters.questions
        await asyncio.wait_for(events_of(hub, REGION, 1), 2.5)
        assert hub.counters.questions == before
        await asyncio.to_thread(until, lambda: hub.watches == 0, "nothing is watched for nobody")
        assert hub.viewers == 0
        before = hub.counters.questions
        await asyncio.sleep(4)
        assert hub.counters.questions == before
        await hub.close()

    asyncio.run(look())


def test_too_many_viewers_and_choices_are_refused(asker: Asker) -> None:
    async def look() -> None:
        hub = hub_of(asker, viewers=2, watches=1)
        first, second = hub.follow(REGION), hub.follow(REGION)
        await anext(first)
        other = replace(REGION, range=Range("now-1h"))
        with pytest.raises(BusyError, match="choices"):
            await anext(hub.follow(other))
        await anext(second)
        with pytest.raises(BusyError, match="2 pages"):
            await anext(hub.follow(REGION))
        await second.aclose()
        await first.aclose()
        await hub.close()
        with pytest.raises(BusyError, match="closing"):
            await anext(hub.follow(REGION))

    asyncio.run(look())


def test_what_changes_is_told_and_what_does_not_is_not(asker: Asker, database: Any) -> None:
    same = Place(panel("select 1 as one"), 0, 0, 4, 4)
    changing = Place(replace(REGION_BOARD.places[0].panel, key="two"), 4, 0, 4, 4)
    board = Board("test-board", "Board", "", (same, changing), refresh="1s")

    async def look() -> list[list[str]]:
        hub = hub_of(asker, board, refresh_s=0.5)
        rounds: list[list[str]] = [[]]
        async for chunk in hub.follow(Question("test-board", (), Range("now-1h"))):
            kind, data = chunk.decode().removeprefix("event: ").rstrip("\n").split("\ndata: ")
            if kind == "panel":
                rounds[-1].append(json.loads(data)["panel"])
                continue
            rounds.append([])
            if len(rounds) == 3:
                with psycopg.connect(database.conninfo("app")) as app:
                    app.execute("insert into grid.unit (code, kind, name, gateway) values ('F1', 'feeder', 'F1', 'g')")
            if len(rounds) == 5:
                break
        await hub.close()
        return rounds

    first, second, *later = asyncio.run(asyncio.wait_for(look(), PATIENCE_S))
    assert (sorted(first), second) == (["one", "two"], [])
    assert [key for keys in later for key in keys] == ["two"]


def test_the_page_and_the_api_over_http(base: str) -> None:
    with httpx.Client(base_url=base) as client:
        assert client.get("/").headers["location"] == "/boards/test-region"
        page = client.get("/boards/test-region")
        assert page.status_code == 200
        assert "<style" not in page.text
        assert "onclick" not in page.text
        assert client.get("/boards/nothing").status_code == 404
        for answer in (page, client.get("/static/main.js"), client.get("/api/boards"), client.get("/nowhere")):
            policy = answer.headers["content-security-policy"]
            assert "script-src 'self'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
        board = client.get("/api/boards/test-area", params={"var-region": "south", "lang": "zh"}).json()
        assert board["values"] == {"region": "south", "area": "B1"}
        assert [each["value"] for each in board["choices"]["area"]] == ["B1"]
        assert (board["time_zone"], board["language"]) == ("Asia/Shanghai", "zh")
        assert "select" not in json.dumps(board)
        # A day is no longer range for being long past.
        long_ago = {"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"}
        assert client.get("/api/boards/test-area", params=long_ago).status_code == 200
        # What isn't among the choices gives way to the first.
        assert client.get("/api/boards/test-area", params={"var-area": "B1"}).json()["values"]["area"] == "A1"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 422),
        ("var-region=north&var-other=x", 422),
        ("var-region=north&from=now-500d", 422),
        ("var-region=north&from=2020-01-01T00:00:00", 422),
        ("var-region=north&from=now&to=now-1h", 422),
        ("var-region=north&from=yesterday", 422),
        (f"var-region={'x' * 201}", 422),
        ("var-region=%00", 422),
    ],
)
def test_what_cannot_be_shown_is_refused_in_words(base: str, query: str, status: int) -> None:
    answer = httpx.get(f"{base}/api/boards/test-region/live?{query}")
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_another_site_cannot_ask_under_its_own_name(base: str) -> None:
    assert httpx.get(f"{base}/api/boards", headers={"host": "evil.example"}).status_code == 400
    assert httpx.get(f"{base}/api/boards", headers={"host": "localhost"}).status_code == 200


def test_the_stream_over_http_and_a_stop_that_ends_it(base: str) -> None:
    kinds = set()
    with httpx.stream(
        "GET", f"{base}/api/boards/test-region/live?var-region=south&from=now-6h", timeout=PATIENCE_S
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in answer.headers
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kinds.add(line.removeprefix("event: "))
            if "round" in kinds:
                break
    assert kinds == {"panel", "trouble", "marks", "round"}
