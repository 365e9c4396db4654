"""The API of conflicts, proposals, drift and rates on a real database; schemathesis looks for what it cannot stand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from psycopg_pool import ConnectionPool
from starlette.testclient import TestClient

from console.api import add_routes, desk_routers
from console.api.desk import Desk
from console.api.tokens import RateLimiter, Tokens, hash_of
from grid.document import Key
from store.connection import Connection, connect
from store.sync_conflicts import ConflictRow, write_conflicts, write_consistency
from store.sync_targets import Compared, write_compared
from sync.load import load_grid
from tests.integration.test_alerts_api import Asks, as_, problem
from tests.served_api import ask_wrongly, serve
from tests.small_grid import small_model

NOW = datetime.now(UTC).replace(microsecond=0)
ROLES = {
    "li": ["marketing"],
    "wang": ["metering"],
    "zhao": ["operation"],
    "chen": ["marketing", "operation"],
    "clerk": ["customer_service"],
    "root": ["admin"],
}


def conflict(
    number: int, entity: int, field: str, believed: str, given: str, kind: str = "field_differs"
) -> ConflictRow:
    said = {"model": given, "marketing.meters/1": believed, "gis.meters/1": believed}
    return ConflictRow(
        bytes([number]) * 16, kind, "meter", entity, field, "model", "meter", "A1-m1", "marketing", believed, given,
        said, 1.0,
    )  # fmt: skip


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, small_model())
        opened.execute("insert into sync.entity (entity_id, kind, code) values (1, 'meter', 'A1-m1')")
        rows = [
            conflict(1, 1, "multiplier", "40", "1"),
            conflict(2, 1, "area", "A2", "A1", "impossible"),
            conflict(3, 1, "account", "x", "y"),
        ]
        with opened.transaction():
            write_conflicts(opened, rows, NOW)
            write_consistency(opened, NOW.date(), NOW)
        drifted = [Compared(Key("meter", "A1-m1"), b"1" * 16, b"2" * 16), Compared(Key("unit", "A1"), b"1", b"1")]
        write_compared(opened, "billing", drifted, [], NOW)
        yield opened


@pytest.fixture
def app(connection: Connection, database: Any, tmp_path: Path) -> Iterator[FastAPI]:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(
        "\n".join(f'[[tokens]]\nname = "{n}"\nsha256 = "{hash_of(n)}"\nroles = {r}\n' for n, r in ROLES.items())
    )
    made = FastAPI(openapi_url="/api/openapi.json")
    options = {"autocommit": True, "options": "-c timezone=UTC"}
    pool = ConnectionPool[Connection](database.conninfo("app"), kwargs=options, min_size=1, max_size=4, open=False)
    with pool:
        limiter = RateLimiter(100_000, 100_000, time.monotonic)
        routers = desk_routers(Desk(pool, Tokens(tokens), limiter, limiter, lambda: NOW + timedelta(minutes=1)))
        add_routes(made, routers[-2:])
        yield made


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    return TestClient(app)


def make(asks: Asks, conflict_id: int) -> int:
    body = {"conflict_ids": [conflict_id], "reason": "plate read", "valid_from": "2026-07-01T00:00:00Z"}
    (done,) = asks.post("/proposals", body).json()
    return int(done["proposal_id"])


def step(asks: Asks, number: int, **said: Any) -> Any:
    etag = asks.get(f"/proposals/{number}").headers["etag"]
    return asks.post(f"/proposals/{number}/steps", said, etag)


def test_conflicts_are_listed_filtered_paged_and_shown(client: TestClient) -> None:
    li = as_(client, "li")
    first = li.get("/conflicts", params={"limit": 2}).json()
    rest = li.get("/conflicts", params={"limit": 2, "after": first["next"]}).json()
    assert len({row["conflict_id"] for row in first["items"] + rest["items"]}) == 3
    assert rest["next"] is None
    (one,) = li.get("/conflicts", params={"kind": "impossible"}).json()["items"]
    shown = li.get(f"/conflicts/{one['conflict_id']}").json()
    assert shown["said"]["model"] == "A1"
    problem(li.get("/conflicts/999"), 404)
    problem(as_(client, "clerk").get("/conflicts"), 403)
    problem(as_(client, None).get("/conflicts"), 401)


def test_four_eyes_are_those_of_the_tokens(client: TestClient, connection: Connection) -> None:
    li, wang, zhao = as_(client, "li"), as_(client, "wang"), as_(client, "zhao")
    number = make(li, 1)
    assert "somebody else" in problem(step(li, number, action="approve"), 409)
    etag = wang.get(f"/proposals/{number}").headers["etag"]
    done = step(wang, number, action="approve")
    assert (done.json()["state"], done.json()["approvals"]) == ("open", 1)
    problem(zhao.post(f"/proposals/{number}/steps", {"action": "approve"}, etag), 412)
    problem(zhao.post(f"/proposals/{number}/steps", {"action": "approve"}), 428)
    assert "already" in problem(step(wang, number, action="approve"), 409)
    assert "doesn't speak" in problem(step(zhao, number, action="approve", department="marketing"), 403)
    assert "no department" in problem(step(as_(client, "root"), number, action="approve"), 403)
    assert "which department" in problem(step(as_(client, "chen"), number, action="approve"), 403)
    done = step(zhao, number, action="approve", reason="seen on site")
    assert done.json()["state"] == "applied"
    assert done.json()["units"] == ["A1"]
    query = "select multiplier from grid.member where meter = 'A1-m1' and upper_inf(recorded) and upper_inf(valid)"
    assert connection.execute(query).fetchall() == [(40,)]
    events = zhao.get(f"/proposals/{number}").json()["events"]
    assert [(e["by_whom"], e["department"]) for e in events] == [("wang", "metering"), ("zhao", "operation")]
    problem(step(zhao, number, action="undo"), 422)
    assert step(zhao, number, action="undo", reason="wrong meter").json()["state"] == "undone"
    assert connection.execute(query).fetchall() == [(1,)]


def test_a_correction_begins_the_approvals_anew_and_its_author_does_not_approve(
    client: TestClient, connection: Connection
) -> None:
    li, wang, zhao = as_(client, "li"), as_(client, "wang"), as_(client, "zhao")
    chen = as_(client, "chen")
    number = make(li, 1)
    step(wang, number, action="approve")
    done = step(zhao, number, action="correct", value="60", reason="plate says 60")
    assert (done.json()["state"], done.json()["approvals"]) == ("open", 0)
    assert "corrected" in problem(step(zhao, number, action="approve"), 409)
    problem(step(wang, number, action="correct", value="sixty", reason="x"), 409)
    problem(step(wang, number, action="correct", value="60", reason="x"), 409)
    assert step(wang, number, action="approve").json()["state"] == "open"
    assert step(chen, number, action="approve", department="operation").json()["state"] == "applied"
    query = "select multiplier from grid.member where meter = 'A1-m1' and upper_inf(recorded) and upper_inf(valid)"
    assert connection.execute(query).fetchall() == [(60,)]


def test_refused_withdrawn_and_what_cannot_be_proposed(client: TestClient) -> None:
    li, wang = as_(client, "li"), as_(client, "wang")
    done = li.post("/proposals", {"conflict_ids": [3, 2], "reason": "x"}).json()
    assert {row["conflict_id"]: row["proposal_id"] is None for row in done} == {2: False, 3: True}
    number = next(row["proposal_id"] for row in done if row["proposal_id"])
    assert "alone can withdraw" in problem(step(wang, number, action="withdraw"), 409)
    assert step(li, number, action="withdraw").json()["state"] == "withdrawn"
    number = make(li, 2)
    problem(step(wang, number, action="reject"), 422)
    assert step(wang, number, action="reject", reason="as built").json()["state"] == "refused"
    etag = li.get(f"/proposals/{number}").headers["etag"]
    assert li.get(f"/proposals/{number}", headers={"if-none-match": etag}).status_code == 304
    listed = li.get("/proposals", params={"state": "refused"}).json()["items"]
    assert [row["proposal_id"] for row in listed] == [number]
    problem(as_(client, "root").post("/proposals", {"conflict_ids": [1], "reason": "x"}), 403)
    problem(li.get("/proposals/999"), 404)


def test_drift_and_rates(client: TestClient) -> None:
    root = as_(client, "root")
    drift = root.get("/drift").json()
    assert [(t["target"], t["entities"], t["drifted"]) for t in drift["targets"]] == [("billing", 2, 1)]
    assert (drift["drifted"][0]["code"], drift["minutes"][0]["minutes"]) == ("A1-m1", 1)
    assert root.get("/drift", params={"target": "other"}).json() == {"targets": [], "minutes": [], "drifted": []}
    rates = root.get("/rates").json()
    assert {row["relation"] for row in rates["all"]} == {"station_line", "line_transformer", "transformer_customer"}
    (worst,) = [u for u in rates["units"] if u["code"] == "A1"]
    assert worst["rate"] == 0.5


def test_indicators_of_the_days_that_ended(client: TestClient, connection: Connection) -> None:
    root = as_(client, "root")
    # The conflicts opened today: no day that has ended knows of them.
    (day,) = root.get("/indicators").json()["items"]
    assert (day["all"]["open_conflicts"]["value"], day["open_conflicts"]) == (0, [])
    connection.execute(
        "insert into sync.completeness values ('gis', 'meter', %s, 9, 1)", [NOW.date() - timedelta(days=3)]
    )
    weeks = root.get("/indicators", params={"period": "week", "count": 2}).json()["items"]
    assert len(weeks) == 2
    assert weeks[0]["since"] == weeks[1]["at"]
    assert root.get("/indicators").json()["items"][0]["completeness"][0]["rate"] == 0.9
    assert root.get("/indicators", params={"period": "year"}).status_code == 422
    assert as_(client, "clerk").get("/indicators").status_code == 403


@pytest.fixture
def served(app: FastAPI) -> Iterator[str]:
    with serve(app) as url:
        yield url


@pytest.mark.parametrize("token", ["li", "clerk"])
def test_schemathesis_finds_no_error(served: str, token: str, tmp_path: Path) -> None:
    # It follows a conflict without a proposal to /proposals/null, for which 422 is right.
    ask_wrongly(served, token, tmp_path, "'2xx', 304, 403, 404, 409, 412, 422")


def test_the_description_names_every_route(app: FastAPI) -> None:
    paths = json.loads(json.dumps(app.openapi()))["paths"]
    assert sorted(paths) == [
        "/api/v1/conflicts", "/api/v1/conflicts/{conflict_id}", "/api/v1/drift", "/api/v1/indicators",
        "/api/v1/proposals",
        "/api/v1/proposals/{proposal_id}", "/api/v1/proposals/{proposal_id}/steps", "/api/v1/rates",
    ]  # fmt: skip
