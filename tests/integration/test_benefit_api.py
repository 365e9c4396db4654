"""What the ledger's commands and API say, and to whom."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fastapi import FastAPI
from psycopg_pool import ConnectionPool
from starlette.testclient import TestClient
from typer.testing import CliRunner

from console.api import add_routes
from console.api.benefit import benefit_router
from console.api.desk import Desk
from console.api.flow import flow_router
from console.api.tokens import RateLimiter, Tokens, hash_of
from meterline import cli
from store.connection import Connection, connect
from sync.load import load_grid
from sync.rollout.desk import open_ticket
from sync.rollout.tickets import Kind, Priority
from tests.benefit_grid import (
    PARAMETERS,
    benefit_model,
    update,
    with_theft,
)
from tests.integration.test_alerts_api import as_, problem
from tests.served_api import ask_wrongly, serve
from tests.workflow import DESK


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, benefit_model())
        yield opened


@pytest.fixture
def ledger(connection: Connection) -> Connection:
    return with_theft(connection)


def test_the_commands(ledger: Connection, config_path: Path, tmp_path: Path, monkeypatch: Any, database: Any) -> None:
    monkeypatch.setenv("METERLINE_DATABASE__NAME", database.section.name)
    monkeypatch.setenv("METERLINE_CONFIG", str(config_path))

    def run(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(cli.app, ["benefit", *words])
        assert done.exit_code == code, done.output
        return done.output

    assert "--until must be later" in run("show", "--since", "2026-05-01", "--until", "2026-04-01", code=2)
    assert json.loads(run("update", "--json"))["written"] == {"new": 2}
    assert "entries: none new, 2 as they were" in run("update")
    said = run("show", "--json")
    assert run("show", "--json") == said
    assert len(json.loads(said)["list"]) == 2
    text = run("show")
    assert "by department: dispatch" in text
    assert "how exact that is isn't known" in text
    text = run("explain", "work_order", "1")
    assert "an effect is shown" in text
    assert "500.000 kWh ± not known" in text
    assert "0 units were none, since something was done at them too" in text
    assert "computed again: same" in text
    assert "simple comparison of before and after" in text
    run("explain", "work_order", "9", code=1)
    assert json.loads(run("model", "--json"))["all"]["npv_cents"]
    assert "all" in run("model")
    assert "saidi_minutes: 0.000 min, measured" in run("social", "--since", "2026-01-01", "--until", "2026-12-31")
    file = tmp_path / "parameters.toml"
    file.write_text(PARAMETERS.replace('currency = "CNY"', 'currency = "EUR"'))
    assert json.loads(run("parameters", "load", str(file), "--reason", "euro", "--by", "li", "--json"))["new"]
    run("parameters", "approve", "2", "--by", "li", code=1)
    run("parameters", "approve", "2", "--by", "zhao")
    assert "approved by zhao" in run("parameters", "list")
    file.write_text("currency = 3")
    run("parameters", "load", str(file), "--reason", "wrong", code=1)


@pytest.fixture
def client(ledger: Connection, database: Any, tmp_path: Path) -> Iterator[TestClient]:
    update(ledger)
    file = tmp_path / "tokens.toml"
    who = {"county1": "unit", "county2": "unit", "leader": "leading_group", "marketer": "marketing"}
    units = {"county1": "county-01", "county2": "county-02"}
    file.write_text(
        "\n".join(
            f'[[tokens]]\nname = "{name}"\nsha256 = "{hash_of(name)}"\nroles = ["{role}"]\n'
            + (f'unit = "{units[name]}"\n' if name in units else "")
            for name, role in who.items()
        )
    )
    made = FastAPI(openapi_url="/api/openapi.json")
    options = {"autocommit": True, "options": "-c timezone=UTC"}
    pool = ConnectionPool[Connection](database.conninfo("app"), kwargs=options, min_size=1, max_size=3, open=False)
    with pool:
        limiter = RateLimiter(100_000, 100_000, time.monotonic)
        desk = Desk(pool, Tokens(file), limiter, limiter, lambda: datetime.now(UTC))
        add_routes(made, [benefit_router(desk, ZoneInfo("UTC")), flow_router(desk, timedelta(days=90))])
        yield TestClient(made, raise_server_exceptions=True)


def test_the_api_says_what_the_ledger_says_to_those_whom_it_concerns(client: TestClient) -> None:
    county, other, leader = as_(client, "county1"), as_(client, "county2"), as_(client, "leader")
    found = leader.get("/rollout/benefit").json()
    assert found["entries"] == 2
    entries = leader.get("/rollout/benefit/entries").json()
    assert entries["next"] is None
    assert sum(row["energy_wh"] for row in entries["items"]) == found["total"]["energy_wh"]
    first = leader.get("/rollout/benefit/entries", params={"limit": 1}).json()
    assert first["next"] == "work_order/1/loss_avoided"
    second = leader.get("/rollout/benefit/entries", params={"limit": 1, "after": first["next"]}).json()
    assert [*first["items"], *second["items"]] == entries["items"]
    assert county.get("/rollout/benefit").json()["total"] == found["total"]
    assert other.get("/rollout/benefit").json()["entries"] == 0
    problem(other.get("/rollout/benefit", params={"organisation": "county-01"}), 403)
    problem(as_(client, "marketer").get("/rollout/benefit"), 403)
    problem(as_(client, None).get("/rollout/benefit"), 401)
    (row, _) = leader.get("/rollout/benefit/entries/work_order/1").json()["items"]
    assert (row["item"], row["check"]) == ("loss_avoided", "same")
    problem(county.get("/rollout/benefit/entries/work_order/1"), 403)
    problem(leader.get("/rollout/benefit/entries/work_order/7"), 404)
    assert leader.get("/rollout/benefit/model").json()["all"]["npv_cents"]
    span = {"since": "2026-01-01T00:00:00Z", "until": "2026-12-31T00:00:00Z"}
    names = [row["name"] for row in county.get("/rollout/benefit/social", params=span).json()["items"]]
    assert names[:3] == ["saidi_minutes", "saifi", "caidi_minutes"]
    problem(leader.get("/rollout/benefit/social", params={"since": span["until"], "until": span["since"]}), 422)


def test_the_api_tells_the_groups_how_the_work_flows(client: TestClient, ledger: Connection) -> None:
    number = open_ticket(
        ledger, DESK, Kind.CHANGE, "county-01", Priority.NORMAL, "Swaps", "x", "clerk",
        datetime.now(UTC) - timedelta(days=100),
    )  # fmt: skip
    leader = as_(client, "leader")
    found = leader.get("/rollout/flow").json()
    assert [flow["process"] for flow in found["processes"]] == ["conflict", "delivery", "alert", "ticket"]
    (ticket,) = leader.get("/rollout/flow", params={"process": "ticket"}).json()["processes"]
    # It began before, and still waits; nothing else is known of tickets.
    assert (ticket["cases"], ticket["lead_p50_s"], ticket["older"][0]["cases"]) == (0, None, 1)
    long_ago = {"process": "ticket", "since": (datetime.now(UTC) - timedelta(days=200)).isoformat()}
    (ticket,) = leader.get("/rollout/flow", params=long_ago).json()["processes"]
    assert (number, ticket["cases"], ticket["older"]) == (1, 1, [])
    problem(as_(client, "county1").get("/rollout/flow"), 403)
    problem(as_(client, None).get("/rollout/flow"), 401)
    problem(leader.get("/rollout/flow", params={"at": "2090-01-01T00:00:00Z"}), 422)
    problem(leader.get("/rollout/flow", params={"since": "2020-01-02T00:00:00Z", "at": "2020-01-01T00:00:00Z"}), 422)
    problem(leader.get("/rollout/flow", params={"process": "billing"}), 422)
    turned = {"since": "2026-12-31T00:00:00Z", "until": "2026-01-01T00:00:00Z"}
    problem(leader.get("/rollout/benefit", params=turned), 422)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_api_stands_what_nobody_should_ask(client: TestClient, tmp_path: Path) -> None:
    with serve(client.app) as url:
        ask_wrongly(
            url, "leader", tmp_path, '"2xx", "404", "409", "422"', "--include-path-regex", "benefit|flow", examples=10,
            timeout_s=500,
        )  # fmt: skip
