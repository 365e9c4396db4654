"""The service desk and decisions on a real database: tickets, releases, norms, and the chain from one to the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from grid.calendar import Calendar
from store.connection import Connection, connect
from store.rollout import read_figure, read_rows
from sync.load import load_grid
from sync.rollout.council import (
    confirm_norm,
    decide,
    follow_up,
    hold_conference,
    hold_training,
    raise_matter,
    read_chain,
    read_norm,
    revise_norm,
)
from sync.rollout.desk import add_knowledge, list_tickets, open_ticket, read_ticket, take_step
from sync.rollout.errors import NotFoundError, RolloutError, TakenError
from sync.rollout.releases import make_release, read_release, release_step
from sync.rollout.tickets import Action, DeskRules, Kind, Priority
from tests.rollout_grid import DAY, MONDAY, SHANGHAI, UNITS, rollout_model

RULES = DeskRules(Calendar(SHANGHAI, frozenset(range(5)), time(8), time(18)))
HOUR = timedelta(hours=1)


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, rollout_model())
        yield opened


def ask(connection: Connection, unit: str = "county-01", priority: Priority = Priority.HIGH) -> int:
    return open_ticket(connection, RULES, Kind.CHANGE, unit, priority, "Swaps", "Record in one step", "wu.yan", MONDAY)


def figure(connection: Connection, name: str, at: datetime, unit: str | None = None) -> float | None:
    return read_figure(connection, name, unit, at, SHANGHAI.key).value


def test_a_ticket_goes_up_is_resolved_and_its_clock_is_told(connection: Connection) -> None:
    number = ask(connection)
    take_step(connection, RULES, number, Action.TAKE, "li.na", "mine", MONDAY + HOUR, assignee="li.na")
    take_step(connection, RULES, number, Action.UP, "li.na", "a change of the program", MONDAY + 2 * HOUR)
    row = take_step(connection, RULES, number, Action.TAKE, "dev.1", "mine", MONDAY + 3 * HOUR, assignee="dev.1")
    assert (row["state"], row["tier"], row["assignee"], row["responded_s"]) == ("in_progress", 2, "dev.1", 3_600)
    take_step(connection, RULES, number, Action.WAIT, "dev.1", "asked for the list", MONDAY + 4 * HOUR)
    take_step(connection, RULES, number, Action.RESUME, "dev.1", "list came", MONDAY + DAY)
    row = take_step(connection, RULES, number, Action.RESOLVE, "dev.1", "done", MONDAY + DAY + 3 * HOUR)
    assert (row["state"], row["worked_s"], row["resolution_broken"]) == ("resolved", 7 * 3_600, False)
    assert figure(connection, "resolve_hours", MONDAY + DAY + 4 * HOUR) == 7
    assert figure(connection, "sla_kept", MONDAY + DAY + 4 * HOUR) == 1
    history = read_rows(connection, "desk", "history", ticket_id=number, at=MONDAY + 2 * DAY)
    assert [(h["number"], h["actor"], h["action"]) for h in history] == [
        (1, "wu.yan", "open"), (2, "li.na", "take"), (3, "li.na", "up"), (4, "dev.1", "take"), (5, "dev.1", "wait"),
        (6, "dev.1", "resume"), (7, "dev.1", "resolve"),
    ]  # fmt: skip
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("update rollout.ticket_step set actor = 'nobody'")


def test_a_promise_breaks_with_time_alone_and_is_known_as_of_then(connection: Connection) -> None:
    number = ask(connection)
    # Two working hours to respond, eight to resolve: from 8:00 to 10:00, and to 16:00.
    assert read_ticket(connection, number, MONDAY + HOUR)["response_broken"] is False
    late = read_ticket(connection, number, MONDAY + 2 * HOUR)
    assert (late["response_broken"], late["resolution_broken"]) == (True, False)
    assert [row["ticket_id"] for row in list_tickets(connection, MONDAY + 8 * HOUR, broken=True)] == [number]
    assert figure(connection, "tickets_broken", MONDAY + HOUR) == 0
    assert figure(connection, "tickets_broken", MONDAY + 8 * HOUR, "county-01") == 1
    assert figure(connection, "tickets_broken", MONDAY + 8 * HOUR, "county-02") == 0
    take_step(connection, RULES, number, Action.TAKE, "li.na", "mine", MONDAY + 9 * HOUR, assignee="li.na")
    # Later steps change nothing of what was known before.
    assert read_ticket(connection, number, MONDAY + 2 * HOUR) == late


def test_a_ticket_is_resolved_once_whatever_is_noted_after(connection: Connection) -> None:
    number, evening = ask(connection), MONDAY + 15 * HOUR
    take_step(connection, RULES, number, Action.TAKE, "li.na", "mine", MONDAY + HOUR, assignee="li.na")
    take_step(connection, RULES, number, Action.RESOLVE, "li.na", "done", MONDAY + 2 * HOUR)
    take_step(connection, RULES, number, Action.NOTE, "li.na", "told them", MONDAY + DAY)
    take_step(connection, RULES, number, Action.CLOSE, "wu.yan", "works", MONDAY + 2 * DAY)
    assert [figure(connection, "resolve_hours", evening + n * DAY) for n in range(3)] == [2, None, None]
    assert [figure(connection, "sla_kept", evening + n * DAY) for n in range(3)] == [1, None, None]
    assert read_ticket(connection, number, evening + 2 * DAY)["resolved_at"] == MONDAY + 2 * HOUR
    take_step(connection, RULES, number, Action.REOPEN, "wu.yan", "again", MONDAY + 3 * DAY)
    assert read_ticket(connection, number, MONDAY + 3 * DAY)["resolved_at"] is None
    take_step(connection, RULES, number, Action.CLOSE, "wu.yan", "never mind", MONDAY + 3 * DAY + HOUR)
    assert figure(connection, "resolve_hours", evening + 3 * DAY) == 3


def test_a_broken_promise_stays_so_while_others_are_waited_for(connection: Connection) -> None:
    number = ask(connection)
    take_step(connection, RULES, number, Action.TAKE, "li.na", "mine", MONDAY + HOUR, assignee="li.na")
    row = take_step(connection, RULES, number, Action.WAIT, "li.na", "list", MONDAY + 9 * HOUR)
    # Eight working hours from eight o'clock, when it was opened.
    assert (row["resolution_broken"], row["resolve_due_at"]) == (True, MONDAY + 8 * HOUR)
    row = take_step(connection, RULES, number, Action.CLOSE, "wu.yan", "not needed", MONDAY + 10 * HOUR)
    assert (row["resolution_broken"], row["resolve_due_at"]) == (True, MONDAY + 8 * HOUR)
    unseen = ask(connection)
    row = take_step(connection, RULES, unseen, Action.CLOSE, "wu.yan", "not needed", MONDAY + 5 * HOUR)
    assert (row["response_broken"], row["resolution_broken"]) == (True, False)


def test_who_acts_names_the_step_that_was_read(connection: Connection) -> None:
    number = ask(connection)
    take_step(connection, RULES, number, Action.TAKE, "li.na", "mine", MONDAY, assignee="li.na", number=1)
    with pytest.raises(TakenError, match="step 2"):
        take_step(connection, RULES, number, Action.TAKE, "dev.1", "mine", MONDAY, assignee="dev.1", number=1)
    with pytest.raises(NotFoundError, match="no release 9"):
        take_step(connection, RULES, number, Action.LINK, "li.na", "there", MONDAY, release="9")
    with pytest.raises(NotFoundError, match="county-99"):
        ask(connection, "county-99")
    with pytest.raises(NotFoundError, match="no ticket 99"):
        take_step(connection, RULES, 99, Action.NOTE, "li.na", "x", MONDAY)


def test_two_at_once_cant_both_take_a_step(connection: Connection, database: Any) -> None:
    number = ask(connection)
    with connect(database.conninfo("app"), "other") as other, other.transaction():
        take_step(other, RULES, number, Action.TAKE, "li.na", "mine", MONDAY, assignee="li.na")
        connection.execute("set statement_timeout = '500ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            take_step(connection, RULES, number, Action.TAKE, "dev.1", "mine", MONDAY, assignee="dev.1")
    connection.execute("set statement_timeout = 0")
    assert read_ticket(connection, number, MONDAY)["assignee"] == "li.na"


def test_knowledge_is_found(connection: Connection) -> None:
    number = ask(connection)
    add_knowledge(connection, "Swapping meters", "Record both registers.", "li.na", MONDAY, number)
    (entry,) = read_rows(connection, "desk", "knowledge", text="BOTH registers", after=0, limit=5)
    assert (entry["ticket_id"], entry["title"]) == (number, "Swapping meters")
    assert read_rows(connection, "desk", "knowledge", text="50%", after=0, limit=5) == []


def test_a_release_is_deployed_confirmed_and_rolled_back(connection: Connection) -> None:
    make_release(connection, "2.4", "June", "swaps", "dev.1", MONDAY)
    with pytest.raises(RolloutError, match="already"):
        make_release(connection, "2.4", "June", "swaps", "dev.1", MONDAY)
    release_step(connection, "2.4", "deploy", ["county-01", "county-02"], "ok", "ops.1", MONDAY + HOUR)
    release_step(connection, "2.4", "confirm", ["county-01"], "works", "head.1", MONDAY + 2 * HOUR)
    with pytest.raises(RolloutError, match="county-03"):
        release_step(connection, "2.4", "confirm", ["county-02", "county-03"], "works", "head.3", MONDAY + 2 * HOUR)
    row = release_step(connection, "2.4", "roll_back", ["county-02"], "wrong totals", "ops.1", MONDAY + 3 * HOUR)
    assert (row["deployed"], row["confirmed"], row["rolled_back"]) == (["county-01"], ["county-01"], ["county-02"])
    before = read_release(connection, "2.4", MONDAY + HOUR)
    assert (before["deployed"], before["unconfirmed"]) == (["county-01", "county-02"], list(UNITS))
    with pytest.raises(RolloutError, match="roll_back"):
        release_step(connection, "2.4", "roll_back", ["county-02"], "again", "ops.1", MONDAY + 4 * HOUR)


def test_a_conference_leads_to_a_norm_a_ticket_a_release_and_the_confirmation_of_all(connection: Connection) -> None:
    at = [MONDAY + n * HOUR for n in range(12)]
    matter = raise_matter(
        connection, "county-01", "metering", "Swaps", "Who records?", "wu.yan", at[0], cross_department=True
    )
    due = date(2040, 6, 5)
    with pytest.raises(RolloutError, match="a conference decides"):
        decide(connection, "Marketing does", "li.wei", due, "leader", at[0], matter_id=matter)
    conference = hold_conference(
        connection, "Swaps", at[0], ["li.wei", "leader"], "Marketing records them.", "secretary", at[1]
    )
    decision = decide(
        connection,
        "Marketing records swaps",
        "li.wei",
        due,
        "leader",
        at[2],
        conference_id=conference,
        matter_id=matter,
    )
    first = revise_norm(connection, "meter-swap", "Swaps", "Old way", "editor", at[2])
    version = revise_norm(connection, "meter-swap", "Swaps", "Marketing records.", "editor", at[3], decision)
    assert (first, version) == (1, 2)
    ticket = open_ticket(
        connection, RULES, Kind.CHANGE, "county-01", Priority.HIGH, "Swaps", "As the norm says", "editor", at[4],
        "meter-swap/2",
    )  # fmt: skip
    take_step(connection, RULES, ticket, Action.TAKE, "dev.1", "mine", at[5], assignee="dev.1")
    make_release(connection, "2.4", "June", "swaps", "dev.1", at[5])
    take_step(connection, RULES, ticket, Action.LINK, "dev.1", "there", at[6], release="2.4")
    take_step(connection, RULES, ticket, Action.RESOLVE, "dev.1", "in 2.4", at[6])
    release_step(connection, "2.4", "deploy", UNITS, "ok", "ops.1", at[7])
    for n, unit in enumerate(UNITS):
        confirmed_at = at[8] + timedelta(minutes=n)
        release_step(connection, "2.4", "confirm", [unit], "works", f"head.{n}", confirmed_at)
        confirm_norm(connection, "meter-swap", version, unit, f"head.{n}", confirmed_at)
        left = read_norm(connection, "meter-swap", version, confirmed_at)["unconfirmed"]
        assert left == list(UNITS[n + 1 :])
    with pytest.raises(RolloutError, match="already"):
        confirm_norm(connection, "meter-swap", version, "county-01", "head.0", at[9])
    assert figure(connection, "matters_open", at[9]) == 1
    assert figure(connection, "decisions_overdue", MONDAY + 2 * DAY) == 1
    follow_up(connection, decision, "all units confirmed", "li.wei", at[10], done=True)
    assert figure(connection, "matters_open", at[10], "county-01") == 0
    assert figure(connection, "decisions_overdue", MONDAY + 2 * DAY) == 0

    chain = read_chain(connection, decision, at[11])
    told = [(row["step"], row["actor"], row["at"], row["about"], row["unit"]) for row in chain]
    confirmations = [
        (step, f"head.{n}", at[8] + timedelta(minutes=n), about, unit)
        for n, unit in enumerate(UNITS)
        for step, about in (("confirm", "2.4"), ("norm_confirmation", "meter-swap/2"))
    ]
    assert told == [
        ("conference", "secretary", at[1], "Swaps", None),
        ("decision", "leader", at[2], "Marketing records swaps", None),
        ("norm", "editor", at[3], "meter-swap/2", None),
        ("ticket", "editor", at[4], str(ticket), "county-01"),
        ("release", "dev.1", at[5], "2.4", None),
        ("ticket_link", "dev.1", at[6], f"{ticket} 2.4", None),
        ("ticket_resolved", "dev.1", at[6], str(ticket), None),
        *[("deploy", "ops.1", at[7], "2.4", unit) for unit in UNITS],
        *confirmations,
        ("done", "li.wei", at[10], "all units confirmed", None),
    ]


def test_trainings_are_counted_and_nobody_is_named(connection: Connection) -> None:
    with pytest.raises(NotFoundError, match="swap/1"):
        hold_training(connection, "county-01", "Swaps", date(2040, 6, 4), 12, "li.wei", MONDAY, "swap/1")
    hold_training(connection, "county-01", "Swaps", date(2040, 6, 4), 12, "li.wei", MONDAY, None)
    (row,) = read_rows(connection, "council", "trainings", at=MONDAY, unit="utility", after=0, limit=9)
    assert (row["unit"], row["people"]) == ("county-01", 12)


def test_commands(config_path: Path, settings: Any) -> None:
    with connect(settings.database.conninfo("app"), "test") as opened:
        load_grid(opened, rollout_model())

    def run(*arguments: str, code: int = 0) -> Any:
        command = [sys.executable, "-m", "meterline", *arguments, "--config", str(config_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ), timeout=90)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done.stdout + done.stderr

    texts = ("--title", "Swaps", "--body", "How?")
    made = run("ticket", "open", "guidance", "--unit", "county-03", *texts, "--by", "wu.yan", "--json")
    number = str(made["ticket_id"])
    assert "in_progress, tier 1" in run("ticket", "take", number, "--by", "li.na")
    assert "can't be given" in run("ticket", "close", number, "--reason", "x", code=1)
    run("ticket", "hand", number, "up", "--reason", "harder", "--by", "li.na")
    assert [row["ticket_id"] for row in run("ticket", "list", "--tier", "2", "--json")] == [made["ticket_id"]]
    run("rollout", "release", "new", "2.4", "--name", "June", "--changes", "swaps")
    run("ticket", "link", number, "2.4")
    shown = run("rollout", "release", "show", "2.4", "--json")
    assert (shown["tickets"], len(shown["unconfirmed"])) == ([made["ticket_id"]], 12)
    raised = run("rollout", "matter", "raise", "--unit", "county-03", "--department", "metering", *texts)
    decided = run(
        "rollout", "decision", "record", "Do so", "--owner", "li.wei", "--due", "2040-01-01",
        "--matter", raised.split()[1],
    )  # fmt: skip
    run("rollout", "norm", "revise", "swap", *texts, "--decision", decided.split()[1])
    assert "11 units have not" in run("rollout", "norm", "confirm", "swap", "1", "--unit", "county-03")
    chain = run("rollout", "decision", "chain", decided.split()[1], "--json")
    assert [row["step"] for row in chain] == ["decision", "norm", "norm_confirmation"]
    assert "no ticket 999" in run("ticket", "show", "999", code=1)
