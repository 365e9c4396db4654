"""The roll-out's API: a unit sees itself, the working group all, the leading group all and decides."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from psycopg_pool import ConnectionPool
from starlette.testclient import TestClient

from console.api import add_routes, desk_routers, rollout_routers
from console.api.desk import Desk
from console.api.tokens import RateLimiter, TokenFileError, Tokens, hash_of, read_tokens
from grid.calendar import Calendar
from store.connection import Connection, connect
from store.rollout import INDICATORS
from sync.load import load_grid
from sync.rollout.acceptance import Check, write_report
from sync.rollout.council import hold_conference, revise_norm
from sync.rollout.plan import parse_plan
from sync.rollout.planning import load_plan
from sync.rollout.signing import sign
from sync.rollout.tickets import DeskRules
from tests.integration.test_alerts_api import Asks, as_, problem
from tests.integration.test_rollout_plan import PLAN
from tests.rollout_grid import MONDAY, SHANGHAI, rollout_model
from tests.served_api import ask_wrongly, serve

#: Each with its roles and, for a unit, which.
WHO = {
    "county1": (["unit"], "county-01"),
    "county2": (["unit"], "county-02"),
    "head": (["unit"], "utility"),
    "desk": (["support"], None),
    "worker": (["working_group"], None),
    "leader": (["leading_group"], None),
    "marketer": (["marketing"], None),
}
_PRIVATE = Ed25519PrivateKey.generate()
KEY = _PRIVATE.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
#: Public keys of sites.
KEYS = {
    "county-01": _PRIVATE.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
}
RULES = DeskRules(Calendar(SHANGHAI, frozenset(range(7)), clock(0), clock(0)))


@pytest.fixture
def client(database: Any, tmp_path: Path) -> Iterator[TestClient]:
    with connect(database.conninfo("app"), "test") as connection:
        connection.autocommit = True
        load_grid(connection, rollout_model())
        load_plan(connection, parse_plan(PLAN, INDICATORS), "planner", MONDAY)
        revise_norm(connection, "swap", "Swaps", "Marketing records.", "editor", MONDAY)
        hold_conference(connection, "Swaps", MONDAY, ["li.wei"], "Agreed.", "secretary", MONDAY)
    file = tmp_path / "tokens.toml"
    entries = []
    for name, (roles, unit) in WHO.items():
        entry = f'[[tokens]]\nname = "{name}"\nsha256 = "{hash_of(name)}"\nroles = {roles}\n'
        entries.append(entry if unit is None else f'{entry}unit = "{unit}"\n')
    file.write_text("\n".join(entries))
    made = FastAPI(openapi_url="/api/openapi.json")
    pool = ConnectionPool[Connection](
        database.conninfo("app"), kwargs={"autocommit": True, "options": "-c timezone=UTC"}, min_size=1, max_size=3,
        open=False,
    )  # fmt: skip
    with pool:
        limiter = RateLimiter(100_000, 100_000, time.monotonic)
        desk = Desk(pool, Tokens(file), limiter, limiter, lambda: MONDAY + timedelta(hours=2))
        add_routes(made, (*desk_routers(desk), *rollout_routers(desk, SHANGHAI, lambda _: RULES, None, KEYS.get)))
        yield TestClient(made, raise_server_exceptions=True)


def codes(asks: Asks, **asked: str) -> list[str]:
    return [row["code"] for row in asks.get("/rollout/milestones", params=asked).json()["items"]]


TICKET = {"kind": "guidance", "title": "Swaps", "body": "How?"}


def test_a_unit_sees_itself_and_the_groups_see_all(client: TestClient) -> None:
    assert codes(as_(client, "county1")) == ["M1"]
    assert codes(as_(client, "county2")) == ["M2"]
    assert codes(as_(client, "head")) == ["M2", "M1"]
    assert codes(as_(client, "head"), unit="county-01") == ["M1"]
    for name in ("desk", "worker", "leader"):
        assert codes(as_(client, name)) == ["M2", "M1"]
        assert codes(as_(client, name), unit="county-01") == ["M1"]
    assert "county-01 sees itself" in problem(
        as_(client, "county1").get("/rollout/milestones", params={"unit": "county-02"}), 403
    )
    problem(as_(client, "marketer").get("/rollout/milestones"), 403)
    problem(as_(client, None).get("/rollout/milestones"), 401)
    # And a unit's token is good for nothing else.
    problem(as_(client, "county1").get("/alerts"), 403)


def test_figures_are_bound_to_the_unit_too(client: TestClient) -> None:
    def progress(name: str, **asked: str) -> Any:
        return as_(client, name).get("/rollout/figures/progress", params=asked)

    assert (progress("county1").json()["whole"], progress("county1").json()["unit"]) == (1, "county-01")
    assert (progress("worker").json()["whole"], progress("worker").json()["unit"]) == (2, None)
    problem(progress("county1", unit="county-02"), 403)
    before = (MONDAY - timedelta(days=1)).isoformat()
    assert progress("worker", at=before).json()["whole"] == 0
    problem(as_(client, "worker").get("/rollout/figures/nothing"), 404)
    assert "no organisation county-77" in problem(progress("worker", unit="county-77"), 404)
    problem(progress("worker", at="yesterday"), 422)


def test_tickets_are_opened_by_a_unit_for_itself_and_worked_on_by_the_desk(client: TestClient) -> None:
    county, desk = as_(client, "county1"), as_(client, "desk")
    problem(county.post("/rollout/tickets", {**TICKET, "unit": "county-02"}), 403)
    made = county.post("/rollout/tickets", {**TICKET, "unit": "county-01"})
    assert made.status_code == 201
    path, etag = made.headers["location"].removeprefix("/api/v1"), made.headers["etag"]
    problem(county.post(f"{path}/steps", {"action": "take", "reason": "mine"}, etag), 403)
    problem(as_(client, "county2").get(path), 403)
    taken = desk.post(f"{path}/steps", {"action": "take", "reason": "mine"}, etag)
    assert (taken.json()["state"], taken.json()["assignee"], taken.headers["etag"]) == ("in_progress", "desk", '"2"')
    problem(desk.post(f"{path}/steps", {"action": "note", "reason": "x"}, etag), 412)
    problem(desk.post(f"{path}/steps", {"action": "note", "reason": "x"}), 428)
    problem(desk.post(f"{path}/steps", {"action": "close", "reason": "x"}, '"2"'), 409)
    problem(desk.post(f"{path}/steps", {"action": "link", "reason": "x", "release": "9"}, '"2"'), 404)
    desk.post(f"{path}/steps", {"action": "resolve", "reason": "so"}, '"2"')
    assert county.post(f"{path}/steps", {"action": "close", "reason": "works"}, '"3"').json()["state"] == "closed"
    assert county.get(path).json()["body"] == "How?"
    history = county.get(path).json()["history"]
    assert [(step["actor"], step["action"]) for step in history] == [
        ("county1", "open"), ("desk", "take"), ("desk", "resolve"), ("county1", "close"),
    ]  # fmt: skip


def test_lists_have_pages(client: TestClient) -> None:
    worker = as_(client, "worker")
    for unit in ("county-01", "county-02", "county-01"):
        worker.post("/rollout/tickets", {**TICKET, "unit": unit})
    first = worker.get("/rollout/tickets", params={"limit": 2}).json()
    second = worker.get("/rollout/tickets", params={"limit": 2, "after": first["next"]}).json()
    assert [row["unit"] for row in first["items"] + second["items"]] == ["county-01", "county-02", "county-01"]
    assert second["next"] is None
    assert len(as_(client, "county2").get("/rollout/tickets").json()["items"]) == 1


def test_the_groups_review_and_the_leading_group_alone_decides(client: TestClient) -> None:
    county, worker, leader = as_(client, "county1"), as_(client, "worker"), as_(client, "leader")
    said = {"result": "passed", "evidence": "report 7"}
    path = "/rollout/programmes/PILOT/milestones/M2/reviews"
    problem(county.post(path, said), 403)
    assert worker.post(path, said).json()["reviewed_by"] == "worker"
    problem(worker.post(path.replace("M2", "M9"), said), 404)
    problem(worker.post(path, {"result": "conditions", "evidence": "x"}), 409)
    matter = {"department": "metering", "title": "M", "body": "m", "cross_department": True}
    problem(county.post("/rollout/matters", {**matter, "unit": "county-02"}), 403)
    number = county.post("/rollout/matters", {**matter, "unit": "county-01"}).json()["matter_id"]
    decision = {"decision": "So", "owner": "li.wei", "due_on": "2040-07-01", "matter_id": number}
    problem(worker.post("/rollout/decisions", decision), 403)
    assert "a conference decides" in problem(leader.post("/rollout/decisions", decision), 409)
    assert leader.post("/rollout/decisions", {**decision, "conference_id": 1}).status_code == 201
    problem(leader.post("/rollout/decisions", {**decision, "conference_id": 1, "due_on": "2040-02-31"}), 409)
    assert county.get("/rollout/matters").json()["items"][0]["decision"] == "So"


def test_a_unit_confirms_a_norm_for_itself(client: TestClient) -> None:
    path = "/rollout/norms/swap/1/confirmations"
    problem(as_(client, "worker").post(path, {"unit": "county-01"}), 403)
    problem(as_(client, "county1").post(path, {"unit": "county-02"}), 403)
    assert "county-01" not in as_(client, "county1").post(path, {"unit": "county-01"}).json()["unconfirmed"]
    problem(as_(client, "county1").post(path, {"unit": "county-01"}), 409)
    problem(as_(client, "county1").post("/rollout/norms/swap/7/confirmations", {"unit": "county-01"}), 404)


WEIGHTS = """
warn_below = 60
[[indicators]]
indicator = "on_time"
weight = 100
floor = 0.5
target = 1.0
"""
UNIT, SUPPORT, WORKER, LEADER = "county1", "desk", "worker", "leader"
#: What may be done, with what, and by whom: a unit only for itself. Whether it is possible is another matter.
DEEDS: list[tuple[str, dict[str, Any], set[str]]] = [
    ("/plans", {"text": PLAN}, {WORKER, LEADER}),
    ("/programmes/PILOT/packages/W1/resources",
     {"resource": "funds", "phase": "granted", "amount": 5, "note": "x"}, {LEADER}),
    ("/programmes/PILOT/packages/W1/resources",
     {"resource": "funds", "phase": "used", "amount": 5, "note": "x"}, {UNIT, WORKER, LEADER}),
    ("/programmes/PILOT/milestones/M1/reviews", {"result": "passed", "evidence": "x"}, {WORKER, LEADER}),
    ("/releases", {"code": "1.0", "name": "One", "changes": "All"}, {SUPPORT, WORKER}),
    ("/releases/0.9/steps", {"action": "deploy", "units": ["county-01"], "note": "x"}, {SUPPORT, WORKER}),
    ("/releases/0.9/steps", {"action": "roll_back", "units": ["county-01"], "note": "x"}, {SUPPORT, WORKER}),
    ("/releases/0.9/steps", {"action": "confirm", "units": ["county-01"], "note": "x"}, {UNIT}),
    ("/matters", {"unit": "county-01", "department": "metering", "title": "M", "body": "m", "cross_department": True},
     {UNIT, SUPPORT, WORKER, LEADER}),
    ("/conferences", {"title": "C", "held_at": "2040-06-04T00:00:00Z", "attendants": ["li"], "minutes": "so"},
     {WORKER, LEADER}),
    ("/decisions", {"decision": "So", "owner": "li.wei", "due_on": "2040-07-01"}, {LEADER}),
    ("/decisions/1/follow-ups", {"note": "x"}, {WORKER, LEADER}),
    ("/norms/swap", {"title": "Swaps", "body": "New."}, {WORKER, LEADER}),
    ("/norms/swap/1/confirmations", {"unit": "county-01"}, {UNIT}),
    ("/trainings", {"unit": "county-01", "topic": "Swaps", "held_on": "2040-06-01", "people": 5},
     {UNIT, SUPPORT, WORKER}),
    ("/weights", {"text": WEIGHTS, "reason": "order 12"}, {WORKER, LEADER}),
    ("/weights/1/approval", {}, {LEADER}),
    ("/assessments", {"weights": 1, "since": "2040-05-01T00:00:00Z", "until": "2040-06-01T00:00:00Z"},
     {WORKER, LEADER}),
    ("/assessments/1/appeals", {"unit": "county-01", "indicator": "on_time", "claimed": 1, "reason": "post"}, {UNIT}),
    ("/appeals/1/answer", {"granted": None, "answer": "no"}, {LEADER}),
    ("/channels", {"unit": "county-01", "gateway": "headend", "measured_at": "2040-06-04T00:00:00Z", "sent": 9,
                   "returned": 0}, {UNIT, SUPPORT}),
    ("/tickets", {**TICKET, "unit": "county-01"}, {UNIT, SUPPORT, WORKER, LEADER}),
    ("/knowledge", {"title": "Swaps", "body": "Both registers."}, {SUPPORT, WORKER}),
    ("/judgements", {}, {WORKER, LEADER}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "allowed"), DEEDS)
def test_who_may_do_what(path: str, body: dict[str, Any], allowed: set[str], client: TestClient) -> None:
    for name in ("marketer", "county2", *(who for who in (UNIT, SUPPORT, WORKER, LEADER) if who not in allowed)):
        problem(as_(client, name).post(f"/rollout{path}", body), 403)
    problem(as_(client, None).post(f"/rollout{path}", body), 401)
    for name in sorted(allowed):
        answer = as_(client, name).post(f"/rollout{path}", body)
        assert answer.status_code in {200, 201, 404, 409}, answer.text


def test_every_deed_of_the_description_is_in_the_table(client: TestClient) -> None:
    described = client.get("/api/openapi.json").json()["paths"]
    prefix = "/api/v1/rollout"
    posts = {path.removeprefix(prefix) for path, how in described.items() if path.startswith(prefix) and "post" in how}
    # Proved with a signature, and acted on by roles, in tests of their own.
    posts -= {"/acceptances", "/tickets/{ticket_id}/steps"}
    matched = {path for path in posts for deed, _, _ in DEEDS if re.fullmatch(re.sub(r"{\w+}", "[^/]+", path), deed)}
    assert matched == posts


def test_a_plan_and_its_resources(client: TestClient) -> None:
    worker, leader, county = as_(client, "worker"), as_(client, "leader"), as_(client, "county1")
    changed = worker.post("/rollout/plans", {"text": PLAN.replace("2040", "2041")}).json()
    assert (changed["programme"], changed["dropped"]) == ("PILOT", 0)
    assert changed["changed"] > 0
    assert worker.post("/rollout/plans", {"text": PLAN.replace("2040", "2041")}).json()["changed"] == 0
    problem(worker.post("/rollout/plans", {"text": "programme = 7"}), 409)
    path = "/rollout/programmes/PILOT/packages/W1/resources"
    leader.post(path, {"resource": "funds", "phase": "granted", "amount": 900, "note": "order 1"})
    county.post(path, {"resource": "funds", "phase": "used", "amount": 250.5, "note": "bill"})
    problem(leader.post(path.replace("W1", "W9"), {**DEEDS[1][1]}), 404)
    (mine,) = county.get("/rollout/packages").json()["items"]
    assert mine["resources"] == {"granted_funds": 900, "used_funds": 250.5}
    assert [row["code"] for row in as_(client, "county2").get("/rollout/packages").json()["items"]] != ["W1"]
    problem(as_(client, "county2").post(path, {**DEEDS[2][1]}), 403)


def test_a_decision_leads_to_a_norm_a_ticket_and_a_release(client: TestClient) -> None:
    county, desk = as_(client, "county1"), as_(client, "desk")
    worker, leader = as_(client, "worker"), as_(client, "leader")
    number = leader.post(
        "/rollout/decisions", {"decision": "So", "owner": "li.wei", "due_on": "2040-07-01", "conference_id": 1}
    ).json()["decision_id"]
    norm = worker.post("/rollout/norms/swap", {"title": "S", "body": "B", "decision_id": number}).json()
    assert norm["version"] == 2
    made = county.post("/rollout/tickets", {**TICKET, "kind": "change", "unit": "county-01", "norm": "swap/2"})
    desk.post("/rollout/releases", {"code": "1.0", "name": "One", "changes": "Swaps"})
    path, etag = made.headers["location"].removeprefix("/api/v1"), made.headers["etag"]
    linked = desk.post(f"{path}/steps", {"action": "link", "reason": "in it", "release": "1.0"}, etag)
    assert linked.json()["release"] == "1.0"
    steps = "/rollout/releases/1.0/steps"
    problem(county.post(steps, {"action": "confirm", "units": ["county-01"], "note": "x"}), 409)
    desk.post(steps, {"action": "deploy", "units": ["county-01", "county-02"], "note": "night"})
    problem(county.post(steps, {"action": "confirm", "units": ["county-01", "county-02"], "note": "x"}), 403)
    confirmed = county.post(steps, {"action": "confirm", "units": ["county-01"], "note": "works"}).json()
    assert (confirmed["confirmed"], confirmed["deployed"]) == (["county-01"], ["county-01"])
    # The groups see all; another unit sees neither the ticket nor who has confirmed.
    assert desk.get("/rollout/releases/1.0").json()["deployed"] == ["county-01", "county-02"]
    assert len(desk.get("/rollout/releases/1.0").json()["steps"]) == 3
    other = as_(client, "county2").get("/rollout/releases/1.0").json()
    assert (other["deployed"], other["confirmed"], other["tickets"], len(other["steps"])) == (["county-02"], [], [], 1)
    (listed,) = as_(client, "county2").get("/rollout/releases").json()["items"]
    assert (listed["deployed"], listed["confirmed"]) == (["county-02"], [])
    county.post("/rollout/norms/swap/2/confirmations", {"unit": "county-01"})
    assert worker.post(f"/rollout/decisions/{number}/follow-ups", {"note": "done", "done": True}).status_code == 201
    chain = leader.get(f"/rollout/decisions/{number}/chain").json()
    # All at one instant here; the order in time is tested where time passes.
    assert Counter((step["step"], step["actor"]) for step in chain) == Counter([
        ("conference", "secretary"), ("decision", "leader"), ("norm", "worker"), ("ticket", "county1"),
        ("release", "desk"), ("ticket_link", "desk"), ("deploy", "desk"), ("deploy", "desk"), ("confirm", "county1"),
        ("norm_confirmation", "county1"), ("done", "worker"),
    ])  # fmt: skip
    problem(county.get(f"/rollout/decisions/{number}/chain"), 403)
    problem(county.get("/rollout/conferences"), 403)
    assert worker.get("/rollout/conferences").json()["items"][0]["decisions"] == [number]
    assert worker.get("/rollout/decisions").json()["items"][0]["done"] is True
    assert county.get("/rollout/decisions").json()["items"] == []
    names = {row["version"]: row["confirmed"] for row in as_(client, "county2").get("/rollout/norms").json()}
    assert names == {1: [], 2: []}


def test_what_was_learnt_is_kept_and_found(client: TestClient) -> None:
    desk, county = as_(client, "desk"), as_(client, "county1")
    number = county.post("/rollout/tickets", {**TICKET, "unit": "county-01"}).json()["ticket_id"]
    body = "Record both registers.\n" * 800
    made = desk.post("/rollout/knowledge", {"title": "Swaps", "body": body, "ticket_id": number})
    assert made.status_code == 201
    desk.post("/rollout/knowledge", {"title": "Seals", "body": "Note their numbers."})
    problem(desk.post("/rollout/knowledge", {"title": "x", "body": "y", "ticket_id": 999}), 404)
    problem(desk.post("/rollout/knowledge", {"title": "x", "body": "y" * 20_001}), 422)
    assert [row["title"] for row in county.get("/rollout/knowledge").json()["items"]] == ["Seals", "Swaps"]
    (found,) = county.get("/rollout/knowledge", params={"text": "REGISTERS"}).json()["items"]
    assert (found["title"], found["body"], found["ticket_id"], found["actor"]) == ("Swaps", body, number, "desk")
    problem(as_(client, "marketer").get("/rollout/knowledge"), 403)


def test_minutes_and_norms_are_as_long_as_they_are(client: TestClient) -> None:
    worker, long = as_(client, "worker"), "x" * 20_000
    conference = {"title": "C", "held_at": "2040-06-04T00:00:00Z", "attendants": ["li"], "minutes": long}
    assert worker.post("/rollout/conferences", conference).status_code == 201
    assert worker.get("/rollout/conferences").json()["items"][0]["minutes"] == long
    assert worker.post("/rollout/norms/seal", {"title": "Seals", "body": long}).json()["body"] == long
    problem(worker.post("/rollout/norms/seal", {"title": "Seals", "body": long + "x"}), 422)


def test_milestones_are_judged_on_demand_and_their_reviews_listed(client: TestClient) -> None:
    county, worker = as_(client, "county1"), as_(client, "worker")
    told = {row["code"]: row for row in worker.post("/rollout/judgements", {"programme": "PILOT"}).json()}
    assert set(told) == {"M1", "M2"}
    assert (told["M1"]["met"], told["M1"]["recorded"]) == (False, None)
    assert worker.post("/rollout/judgements", {"milestone": "M9"}).json() == []
    path = "/rollout/programmes/PILOT/milestones/{}/reviews"
    assert county.get(path.format("M1")).json() == []
    for result, evidence in (("failed", "report 6"), ("passed", "report 7")):
        worker.post(path.format("M1"), {"result": result, "evidence": evidence})
    reviews = [(row["result"], row["evidence"], row["actor"]) for row in county.get(path.format("M1")).json()]
    assert reviews == [("failed", "report 6", "worker"), ("passed", "report 7", "worker")]
    problem(county.get(path.format("M2")), 403)
    problem(county.get(path.format("M9")), 404)


def test_reports_are_read_by_who_they_are_for(client: TestClient) -> None:
    county, leader = as_(client, "county1"), as_(client, "leader")
    own = county.get("/rollout/reports/daily").json()
    assert (own["level"], own["unit"], own["span"]) == ("unit", "county-01", "daily")
    told = {figure["name"]: figure["value"] for figure in own["figures"]}
    asked = {"at": own["at"], "since": own["since"]}
    assert told["progress"] == county.get("/rollout/figures/progress", params=asked).json()["value"]
    whole = leader.get("/rollout/reports/weekly", params={"level": "leading"}).json()
    assert len(whole["by_unit"]) == 12
    problem(county.get("/rollout/reports/daily", params={"level": "working"}), 403)
    problem(county.get("/rollout/reports/daily", params={"unit": "county-02"}), 403)
    problem(leader.get("/rollout/reports/daily"), 404)
    problem(leader.get("/rollout/reports/daily", params={"unit": "county-77"}), 404)
    problem(leader.get("/rollout/reports/hourly"), 422)


def test_a_gateway_has_a_name_that_a_finding_can_bear(client: TestClient) -> None:
    probe = {"unit": "county-01", "measured_at": "2040-06-04T00:00:00Z", "sent": 9, "returned": 0}
    traffic = {"meters": 9, "blocks": 1, "interval_s": 900}
    desk = as_(client, "desk")
    problem(desk.post("/rollout/channels", {**probe, "gateway": "g" * 101, "traffic": traffic}), 422)
    filed = desk.post("/rollout/channels", {**probe, "gateway": "g" * 100, "traffic": traffic})
    assert filed.json()["shortfalls"] == ["unreachable"]


def test_trainings_are_of_their_unit(client: TestClient) -> None:
    county = as_(client, "county1")
    said = {"unit": "county-01", "topic": "Swaps", "held_on": "2040-06-01", "people": 12, "norm": "swap/1"}
    assert county.post("/rollout/trainings", said).status_code == 201
    problem(county.post("/rollout/trainings", {**said, "held_on": "2040-02-30"}), 409)
    problem(county.post("/rollout/trainings", {**said, "norm": "swap/9"}), 404)
    assert [row["people"] for row in as_(client, "worker").get("/rollout/trainings").json()["items"]] == [12]
    assert as_(client, "county2").get("/rollout/trainings").json()["items"] == []


def test_an_assessment_from_weights_to_a_granted_appeal(client: TestClient) -> None:
    county, worker, leader = as_(client, "county1"), as_(client, "worker"), as_(client, "leader")
    problem(worker.post("/rollout/weights", {"text": WEIGHTS.replace("100", "99"), "reason": "x"}), 409)
    version = worker.post("/rollout/weights", {"text": WEIGHTS, "reason": "order 12"}).json()["version"]
    asked = {"weights": version, "since": "2040-05-01T00:00:00Z", "until": "2040-06-01T00:00:00Z"}
    problem(worker.post("/rollout/assessments", asked), 409)
    assert leader.post(f"/rollout/weights/{version}/approval", {}).status_code == 201
    made = worker.post("/rollout/assessments", asked).json()
    number, results = made["assessment_id"], {row["unit"]: row for row in made["results"]}
    assert len(results) == 12
    assert results["county-01"]["score"] == 0
    own = county.get(f"/rollout/assessments/{number}").json()
    assert [row["unit"] for row in own["results"]] == ["county-01"]
    assert [row["unit"] for row in own["warnings"]] == ["county-01"]
    claim = {"unit": "county-01", "indicator": "on_time", "claimed": 0.75, "reason": "post"}
    problem(county.post(f"/rollout/assessments/{number}/appeals", {**claim, "unit": "county-02"}), 403)
    problem(county.post(f"/rollout/assessments/{number}/appeals", {**claim, "indicator": "luck"}), 404)
    appeal = county.post(f"/rollout/assessments/{number}/appeals", claim).json()["appeal_id"]
    problem(worker.post(f"/rollout/appeals/{appeal}/answer", {"granted": 0.75, "answer": "seen"}), 403)
    answered = leader.post(f"/rollout/appeals/{appeal}/answer", {"granted": 0.75, "answer": "seen"}).json()
    assert (answered["granted"], answered["answered_by"]) == (0.75, "leader")
    problem(leader.post(f"/rollout/appeals/{appeal}/answer", {"granted": 1, "answer": "again"}), 409)
    (after,) = county.get(f"/rollout/assessments/{number}").json()["results"]
    # Half of the way from floor to target, and nothing else has changed.
    assert (after["score"], after["found"]) == (50, 0)
    everybody = {row["unit"]: row["score"] for row in leader.get(f"/rollout/assessments/{number}").json()["results"]}
    assert {unit: score for unit, score in everybody.items() if unit != "county-01"} == {
        unit: row["score"] for unit, row in results.items() if unit != "county-01"
    }
    assert as_(client, "county2").get(f"/rollout/assessments/{number}").json()["appeals"] == []
    assert [row["approved_by"] for row in county.get("/rollout/weights").json()] == ["leader"]
    assert [row["assessment_id"] for row in worker.get("/rollout/assessments").json()] == [number]


def test_an_acceptance_is_filed_by_its_site(client: TestClient) -> None:
    county = as_(client, "county1")

    def signed(site: str) -> dict[str, Any]:
        text = write_report(site, MONDAY, "li.wei", "0", [Check("hardware", "memory", ok=True, found="8 GiB")])
        return asdict(sign(text, KEY))

    filed = county.post("/rollout/acceptances", signed("county-01"))
    assert (filed.status_code, filed.json()["passed"]) == (201, True)
    number = filed.json()["acceptance_id"]
    problem(county.post("/rollout/acceptances", signed("county-01")), 409)
    problem(county.post("/rollout/acceptances", signed("county-02")), 403)
    assert "no key of county-02" in problem(
        as_(client, "county2").post("/rollout/acceptances", signed("county-02")), 409
    )
    forged = {**signed("county-01"), "text": signed("county-01")["text"].replace("8 GiB", "9 GiB")}
    assert "signature isn't" in problem(as_(client, "desk").post("/rollout/acceptances", forged), 409)
    problem(as_(client, "worker").post("/rollout/acceptances", signed("county-01")), 403)
    assert county.get(f"/rollout/acceptances/{number}").json()["report"] == signed("county-01")["text"]
    problem(as_(client, "county2").get(f"/rollout/acceptances/{number}"), 403)
    assert as_(client, "county2").get("/rollout/acceptances").json()["items"] == []
    assert len(as_(client, "leader").get("/rollout/acceptances").json()["items"]) == 1


@pytest.mark.parametrize(("roles", "unit"), [('["unit"]', ""), ('["marketing"]', 'unit = "county-01"')])
def test_a_token_of_a_unit_names_it(roles: str, unit: str) -> None:
    with pytest.raises(TokenFileError, match="organisation"):
        read_tokens(f'[[tokens]]\nname = "x"\nsha256 = "{"0" * 64}"\nroles = {roles}\n{unit}\n')
    assert datetime.now(UTC) < MONDAY


@pytest.mark.timeout(600)
@pytest.mark.parametrize("token", ["leader", "county1"])
def test_schemathesis_finds_no_error(client: TestClient, token: str, tmp_path: Path) -> None:
    """Requests made from the description, right and wrong: no error of ours, and no answer that isn't described."""
    # What is right by the description may still name what isn't there, or contradict what stands.
    accepted = "'2xx', 403, 404, 409, 412, 422"
    with serve(client.app) as url:
        ask_wrongly(url, token, tmp_path, accepted, "--include-path-regex", "rollout", examples=10, timeout_s=500)
