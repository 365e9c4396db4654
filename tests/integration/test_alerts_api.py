"""The API of alerts, findings and work orders against a real database; schemathesis looks for what it can't stand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from psycopg_pool import ConnectionPool
from starlette.testclient import TestClient

from alerts.evaluate import evaluate
from alerts.routing import Routing
from alerts.rules import AlertPolicy
from alerts.sense import SenseRule, SenseRules
from console.api import add_routes, desk_routers
from console.api.desk import Desk
from console.api.tokens import RateLimiter, Tokens, hash_of
from deploy.stack import StackSpec
from grid.finding import Finding, Severity
from store.alerts import update_figures
from store.connection import Connection, connect
from store.findings import add_findings
from sync.load import load_grid
from tests.served_api import ask_wrongly, serve
from tests.small_grid import small_model

NOW = datetime.now(UTC).replace(microsecond=0)
ROLES = {
    "marketer": ["marketing"],
    "dispatcher": ["control_room"],
    "clerk": ["customer_service"],
    "helper": ["customer_service", "support"],
    "auditor": ["marketing", "revenue"],
    "crew": ["field_crew"],
    "root": ["admin"],
}
RULES = SenseRules({"theft_bypass": SenseRule()})
MEDIA_TYPE = "application/problem+json"


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, small_model())
        findings = [
            Finding(
                "theft_bypass", Severity.WARNING, "A1", "theft_bypass:A1/A1-m1", NOW, NOW, meter="A1-m1",
                figures={"expected_wh": 120_000, "confidence": 0.9}, evidence={"days": ["2026-11-20"]},
            ),
            Finding("outage", Severity.CRITICAL, "F2", "outage:F2", NOW, NOW, evidence={"areas": []}),
            Finding(
                "theft_bypass", Severity.WARNING, "A2", "theft_bypass:A2/A2-m1", NOW, NOW, meter="A2-m1",
                evidence={"days": ["2026-11-21"]},
            ),
        ]  # fmt: skip
        add_findings(opened, findings)
        evaluate(opened, AlertPolicy(), Routing(), NOW + timedelta(seconds=10), rules=RULES)
        yield opened


@pytest.fixture
def tokens_file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.toml"
    entries = [
        f'[[tokens]]\nname = "{name}"\nsha256 = "{hash_of(name)}"\nroles = {roles}\n' for name, roles in ROLES.items()
    ]
    old = f'[[tokens]]\nname = "old"\nsha256 = "{hash_of("old")}"\nroles = ["admin"]\nexpires = 2020-01-01T00:00:00Z\n'
    path.write_text("\n".join([*entries, old]))
    return path


@pytest.fixture
def app(connection: Connection, database: Any, tokens_file: Path) -> Iterator[FastAPI]:
    made = FastAPI(openapi_url="/api/openapi.json")
    options = {"autocommit": True, "options": "-c timezone=UTC"}
    pool = ConnectionPool[Connection](database.conninfo("app"), kwargs=options, min_size=1, max_size=4, open=False)
    with pool:
        limiter = RateLimiter(100_000, 100_000, time.monotonic)
        add_routes(
            made, desk_routers(Desk(pool, Tokens(tokens_file), limiter, limiter, lambda: NOW + timedelta(minutes=1)))
        )
        yield made


class Asks:
    """Requests of one token."""

    def __init__(self, client: TestClient, token: str | None) -> None:
        self.client = client
        self.headers = {} if token is None else {"authorization": f"Bearer {token}"}

    def get(self, path: str, **options: Any) -> httpx.Response:
        headers = self.headers | options.pop("headers", {})
        return cast("httpx.Response", self.client.get(f"/api/v1{path}", headers=headers, **options))

    def post(self, path: str, body: Any, etag: str | None = None) -> httpx.Response:
        headers = self.headers if etag is None else {**self.headers, "if-match": etag}
        return cast("httpx.Response", self.client.post(f"/api/v1{path}", json=body, headers=headers))

    def alert(self, kind: str) -> tuple[int, str]:
        (found,) = self.get("/alerts", params={"kind": kind, "limit": 1}).json()["items"]
        return found["alert_id"], self.get(f"/alerts/{found['alert_id']}").headers["etag"]


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    return TestClient(app, raise_server_exceptions=True)


def as_(client: TestClient, name: str | None) -> Asks:
    return Asks(client, name)


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    body = answer.json()
    assert body["status"] == status
    assert body["title"]
    return str(body["detail"])


def test_lists_are_paged_and_filtered(client: TestClient) -> None:
    marketer = as_(client, "marketer")
    first = marketer.get("/alerts", params={"limit": 2}).json()
    assert [len(first["items"]), first["next"] is not None] == [2, True]
    second = marketer.get("/alerts", params={"limit": 2, "after": first["next"]}).json()
    assert [len(second["items"]), second["next"]] == [1, None]
    kinds = marketer.get("/alerts", params={"kind": "theft_bypass", "state": "open"}).json()["items"]
    assert [alert["meter"] for alert in kinds] == ["A2-m1", "A1-m1"]
    assert marketer.get("/alerts", params={"closed_from": NOW.isoformat()}).json()["items"] == []
    group = marketer.get("/alerts", params={"group": "theft_bypass:F1"}).json()["items"]
    assert [alert["group_key"] for alert in group] == ["theft_bypass:F1"] * len(group) != []
    assert marketer.get("/alerts", params={"group": "theft_bypass:F9"}).json()["items"] == []


def test_act_with_the_version_that_was_read(client: TestClient) -> None:
    marketer = as_(client, "marketer")
    number, etag = marketer.alert("theft_bypass")
    step = {"action": "acknowledge", "reason": "seen"}
    assert "If-Match" in problem(marketer.post(f"/alerts/{number}/steps", step), 428)
    done = marketer.post(f"/alerts/{number}/steps", step, etag)
    assert (done.status_code, done.json()["state"]) == (200, "acknowledged")
    assert "at version 2" in problem(marketer.post(f"/alerts/{number}/steps", step, etag), 412)
    newer = done.headers["etag"]
    assert "possible" in problem(marketer.post(f"/alerts/{number}/steps", step, newer), 409)
    problem(marketer.post(f"/alerts/{number}/steps", {"action": "assign", "reason": "x"}, newer), 422)
    closed = marketer.post(f"/alerts/{number}/steps", {"action": "close", "reason": "known"}, newer)
    assert closed.json()["closed_at"] is not None
    history = marketer.get(f"/alerts/{number}").json()["history"]
    assert [(h["actor"], h["action"]) for h in history] == [
        ("meterline", "open"), ("marketer", "acknowledge"), ("marketer", "close"),
    ]  # fmt: skip
    unchanged = marketer.get(f"/alerts/{number}", headers={"if-none-match": closed.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


def test_new_figures_are_another_answer_and_no_other_version(client: TestClient, connection: Connection) -> None:
    marketer = as_(client, "marketer")
    number, etag = marketer.alert("theft_bypass")
    update_figures(connection, [(number, "critical", NOW + timedelta(minutes=2), {"expected_wh": 240_000})])
    again = marketer.get(f"/alerts/{number}", headers={"if-none-match": etag})
    assert (again.status_code, again.json()["alert"]["figures"]) == (200, {"expected_wh": 240_000})
    # Who read the older figures may still act: nobody else has.
    step = {"action": "acknowledge", "reason": "seen"}
    assert marketer.post(f"/alerts/{number}/steps", step, etag).status_code == 200


def test_a_marketing_token_does_not_operate_the_control_rooms_alerts(client: TestClient) -> None:
    marketer, dispatcher = as_(client, "marketer"), as_(client, "dispatcher")
    number, etag = dispatcher.alert("outage")
    step = {"action": "acknowledge", "reason": "seen", "expected_at": (NOW + timedelta(hours=2)).isoformat()}
    assert "control_room" in problem(marketer.post(f"/alerts/{number}/steps", step, etag), 403)
    bulk = {"step": step, "items": [{"alert_id": number, "version": 1}]}
    assert "control_room" in marketer.post("/bulk-steps", bulk).json()[0]["error"]
    taken = dispatcher.post(f"/alerts/{number}/steps", step, etag)
    assert taken.status_code == 200
    later = {"action": "expect", "reason": "a second fault", "expected_at": (NOW + timedelta(hours=3)).isoformat()}
    revised = dispatcher.post(f"/alerts/{number}/steps", later, taken.headers["etag"])
    assert datetime.fromisoformat(revised.json()["expected_at"]) == NOW + timedelta(hours=3)
    past = {**later, "expected_at": NOW.isoformat()}
    assert "in the future" in problem(dispatcher.post(f"/alerts/{number}/steps", past, revised.headers["etag"]), 409)


def test_customer_service_sees_outages_alone(client: TestClient) -> None:
    clerk = as_(client, "clerk")
    assert [alert["kind"] for alert in clerk.get("/alerts").json()["items"]] == ["outage"]
    assert clerk.get("/alerts", params={"kind": "theft_bypass"}).json()["items"] == []
    assert [found["kind"] for found in clerk.get("/findings").json()["items"]] == ["outage"]
    number, _ = as_(client, "marketer").alert("theft_bypass")
    problem(clerk.get(f"/alerts/{number}"), 404)
    assert clerk.get("/outages", params={"meter": "A1-m1"}).json()["out"] is False
    problem(clerk.get("/outages", params={"meter": "nobody's"}), 404)
    # A role that sees no alert at all doesn't widen that.
    both = as_(client, "helper")
    assert [alert["kind"] for alert in both.get("/alerts").json()["items"]] == ["outage"]
    assert [found["kind"] for found in both.get("/findings").json()["items"]] == ["outage"]
    problem(both.get(f"/alerts/{number}"), 404)


def series_of(asks: Asks, finding_id: int, meter: str = "A1-m1", days: int = 1) -> httpx.Response:
    window = {"meter": meter, "from_at": (NOW - timedelta(days=1)).isoformat(), "days": days}
    return asks.get(f"/findings/{finding_id}/series", params=window)


def test_a_series_needs_the_role_an_assigned_open_finding_and_is_written_down(
    client: TestClient, connection: Connection, database: Any
) -> None:
    connection.execute(
        "insert into telemetry.block (unit_id, observed_at, interval_s, version, received_at, precedence, received_us,"
        " import_wh, export_wh, quality) select unit_id, %s, 900, 1, %s, array[1], array[1], array[1, 5, 7]::bigint[],"
        " array[0, 0, 0]::bigint[], decode('000000', 'hex') from grid.unit where code = 'A1'",
        [NOW - timedelta(hours=1), NOW],
    )
    auditor, marketer = as_(client, "auditor"), as_(client, "marketer")
    (found,) = auditor.get("/findings", params={"meter": "A1-m1"}).json()["items"]
    assert auditor.get(f"/findings/{found['finding_id']}").json()["evidence"] == {"days": ["2026-11-20"]}
    assert marketer.get(f"/findings/{found['finding_id']}").json()["evidence"] is None
    assert "revenue" in problem(series_of(marketer, found["finding_id"]), 403)
    assert "assigned" in problem(series_of(auditor, found["finding_id"]), 403)
    etag = auditor.get(f"/alerts/{found['alert_id']}").headers["etag"]
    step = {"action": "assign", "reason": "look", "assignee": "auditor"}
    assigned = auditor.post(f"/alerts/{found['alert_id']}/steps", step, etag)
    rows = series_of(auditor, found["finding_id"]).json()
    assert [(row["interval_s"], row["import_wh"]) for row in rows] == [(900, 5)]
    problem(series_of(auditor, found["finding_id"], meter="A2-m1"), 403)
    problem(series_of(auditor, found["finding_id"], days=93), 422)
    read = connection.execute("select reader, finding_id, meter from alerts.series_read").fetchall()
    assert read == [("auditor", found["finding_id"], "A1-m1")]
    auditor.post(f"/alerts/{found['alert_id']}/steps", {"action": "close", "reason": "x"}, assigned.headers["etag"])
    problem(series_of(auditor, found["finding_id"]), 403)


def test_a_work_order_from_evidence_to_result(client: TestClient) -> None:
    marketer, crew, dispatcher = as_(client, "marketer"), as_(client, "crew"), as_(client, "dispatcher")
    number, etag = marketer.alert("theft_bypass")
    order, place = {"assignee": "crew"}, f"/alerts/{number}/work-order"
    problem(dispatcher.post(place, order, etag), 403)
    problem(marketer.post(place, order), 428)
    problem(marketer.post(place, {**order, "deadline": "2020-01-01T00:00:00Z"}, etag), 409)
    made = marketer.post(place, order, etag)
    assert made.status_code == 201
    body = made.json()
    assert body["evidence"]["place"]["unit"] == "A2"
    # What the findings rest on is for whoever goes there, and for revenue protection.
    path = f"/work-orders/{body['work_order_id']}"
    seen = {
        name: as_(client, name).get(path).json()["evidence"]["findings"][0]["evidence"]
        for name in ("marketer", "crew", "auditor")
    }
    assert seen == {"marketer": None, "crew": {"days": ["2026-11-21"]}, "auditor": {"days": ["2026-11-21"]}}
    (listed,) = marketer.get("/work-orders").json()["items"]
    assert [found["evidence"] for found in listed["evidence"]["findings"]] == [None]
    assert body["evidence"]["findings"][0]["evidence"] is None
    assert "import_wh" not in made.text
    assert marketer.get(f"/alerts/{number}").json()["alert"]["state"] == "in_progress"
    problem(dispatcher.get(f"/work-orders/{body['work_order_id']}"), 403)
    result = {"result": "confirmed", "note": "bypass behind the cabinet", "found_wh": 90_000}
    done = crew.post(f"{path}/result", result, crew.get(path).headers["etag"])
    assert (done.json()["state"], done.json()["result"]) == ("done", "confirmed")
    problem(crew.post(f"{path}/result", result, done.headers["etag"]), 409)
    alert = marketer.get(f"/alerts/{number}").json()["alert"]
    assert (alert["state"], alert["outcome"]) == ("resolved", "confirmed")
    (found,) = marketer.get("/findings", params={"alert_id": number}).json()["items"]
    assert found["result"] == "confirmed"
    assert [o["work_order_id"] for o in crew.get("/work-orders", params={"state": "done"}).json()["items"]]
    assert dispatcher.get("/work-orders").json()["items"] == []
    assert crew.get("/work-orders", params={"overdue": True}).json()["items"] == []


@pytest.mark.parametrize("token", [None, "nobody", "old", "x" * 5_000])
def test_nobody_unknown_gets_in(client: TestClient, token: str | None) -> None:
    answer = as_(client, token).get("/alerts")
    assert answer.headers["www-authenticate"] == "Bearer"
    problem(answer, 401)


def test_tokens_are_read_again_when_their_file_changes(client: TestClient, tokens_file: Path) -> None:
    text = tokens_file.read_text()
    assert as_(client, "marketer").get("/alerts").status_code == 200
    tokens_file.write_text(text.replace(hash_of("marketer"), hash_of("another")))
    problem(as_(client, "marketer").get("/alerts"), 401)
    tokens_file.write_text("[[tokens]]\nname = 3\n")
    problem(as_(client, "another").get("/alerts"), 503)


def test_who_asks_too_often_waits(database: Any, connection: Connection, tokens_file: Path) -> None:
    clock = [0.0]
    made = FastAPI()
    with ConnectionPool[Connection](database.conninfo("app"), kwargs={"autocommit": True}, max_size=4) as pool:
        desk = Desk(
            pool,
            Tokens(tokens_file),
            RateLimiter(1, 3, lambda: clock[0]),
            RateLimiter(1, 2, lambda: clock[0]),
            lambda: NOW,
        )
        add_routes(made, desk_routers(desk))
        client = TestClient(made)
        assert [as_(client, "root").get("/alerts").status_code for _ in range(4)] == [200, 200, 200, 429]
        assert as_(client, "marketer").get("/alerts").status_code == 200
        clock[0] = 1.0
        assert [as_(client, "root").get("/alerts").status_code for _ in range(2)] == [200, 429]
        assert [as_(client, "guess").get("/alerts").status_code for _ in range(3)] == [401, 401, 429]


def test_the_role_of_revenue_has_one_door(connection: Connection, database: Any, stack: StackSpec) -> None:
    with connect(database.conninfo("revenue"), "test") as revenue:
        revenue.autocommit = True
        for statement in (
            "select import_wh from telemetry.block",
            "select * from telemetry.reading",
            "select * from alerts.series_for('auditor', 1, 'A1-m1', now() - interval '1 day', now())",
            "select * from alerts.series_read",
            "update alerts.alert set assignee = 'meterline_revenue'",
            "delete from alerts.series_read",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                revenue.execute(statement)
        (found,) = connection.execute(
            "select finding_id, alert_id from alerts.finding where meter = 'A1-m1'"
        ).fetchall()
        read = "select count(*) from alerts.meter_series(%s, 'A1-m1', now() - interval '1 day', now())"
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="assigned"):
            revenue.execute(read, [found[0]])
        connection.execute("update alerts.alert set assignee = 'meterline_revenue' where alert_id = %s", [found[1]])
        assert revenue.execute(read, [found[0]]).fetchone() == (0,)
    assert connection.execute("select reader from alerts.series_read").fetchall() == [("meterline_revenue",)]
    # Whoever takes the row back has left a line in the server's log.
    with connect(database.conninfo("revenue"), "test") as revenue, revenue.transaction(force_rollback=True):
        assert revenue.execute(read, [found[0]]).fetchone() == (0,)
    assert connection.execute("select count(*) from alerts.series_read").fetchone() == (1,)
    said = f"series read by 'meterline_revenue' for finding {found[0]}: meter 'A1-m1'"
    lines = (stack.log_dir / "postgres.log").read_text().splitlines()
    assert sum(said in line for line in lines if database.section.name in line) == 2
    with connect(database.conninfo("board"), "test") as board:
        board.autocommit = True
        for statement in (
            "select import_wh from telemetry.block",
            "select * from telemetry.reading",
            "select evidence from alerts.finding",
            "select * from alerts.meter_series(1, 'A1-m1', now() - interval '1 day', now())",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                board.execute(statement)


@pytest.fixture
def served(app: FastAPI) -> Iterator[str]:
    """The same over HTTP."""
    with serve(app) as url:
        yield url


@pytest.mark.parametrize("token", ["root", "clerk"])
def test_schemathesis_finds_no_error(served: str, token: str, tmp_path: Path) -> None:
    """Requests made from the description, right and wrong: no error of ours, and no answer that isn't described."""
    # What is right by the description may still contradict the version that stands, or the time of day.
    ask_wrongly(served, token, tmp_path, "'2xx', 304, 403, 404, 409, 412")
