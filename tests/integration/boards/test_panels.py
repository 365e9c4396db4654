"""The panels' SQL against the real database, as the roles that Grafana has."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from deploy.boards.health import RULES
from deploy.boards.macros import bind, expand
from deploy.boards.model import Board, Picture, Source, Unit
from deploy.boards.panels import feeder, ranking
from deploy.boards.registry import BOARDS
from deploy.stack import StackSpec
from deploy.stack.postgres import superuser_dsn
from tests.integration.boards.conftest import PLACE, Connection, ask, settle, work

PANELS = {(board.source, place.panel.key): place.panel for board in BOARDS for place in board.places}
#: What is empty where nothing is wrong, or was never done.
MAY_BE_EMPTY = {
    "finding_series", "findings", "field_results", "precision", "deliveries", "network", "suspected",
    "suspects", "benefit_items", "benefit_entries",
    # Filled in tests of their own, `test_told_panels` and `test_flow_panel`.
    "completeness", "resolved_conflicts", "alert_flow",
    # Areas of two meters say nothing of them.
    "phases", "voltages", "meters_by_voltage", "meters_by_use",
}  # fmt: skip


def boards_and_roles(board: Connection, revenue: Connection) -> list[tuple[Board, Connection]]:
    return [(each, board if each.source is Source.OPERATIONS else revenue) for each in BOARDS]


@pytest.mark.usefixtures("measured")
def test_panels_answer_with_the_columns_they_describe(
    board: Connection, revenue: Connection, subtests: pytest.Subtests
) -> None:
    for (source, key), panel in PANELS.items():
        with subtests.test(msg=key):
            rows = ask(board if source is Source.OPERATIONS else revenue, panel)
            assert rows or key in MAY_BE_EMPTY
            for row in rows[:1]:
                assert {column.name for column in panel.columns} <= set(row)
            for column in panel.columns:
                values = [row[column.name] for row in rows if row[column.name] is not None]
                if column.unit is not Unit.NONE:
                    assert all(isinstance(value, int | float) for value in values), column.name
                if column.name in {"status", "class", "state", "kind"} and column.words:
                    assert set(values) <= {word.value for word in column.words}
            if panel.picture is Picture.LINES:
                times = [row["time"] for row in rows]
                assert times == sorted(times)
                assert all(time.tzinfo is not None for time in times)
            if panel.picture is Picture.FIGURES:
                assert len(rows) == 1


@pytest.mark.usefixtures("grid")
def test_panels_answer_before_anything_was_measured(
    board: Connection, revenue: Connection, subtests: pytest.Subtests
) -> None:
    for (source, key), panel in PANELS.items():
        with subtests.test(msg=key):
            ask(board if source is Source.OPERATIONS else revenue, panel)


@pytest.mark.usefixtures("measured")
def test_variables_resolve_and_what_they_choose_is_shown(
    board: Connection, revenue: Connection, subtests: pytest.Subtests
) -> None:
    now = datetime.now(UTC)
    for each, role in boards_and_roles(board, revenue):
        with subtests.test(msg=each.uid):
            values: dict[str, str] = {}
            for variable in each.variables:
                sql, parameters = bind(variable.sql, now - timedelta(days=1), now, timedelta(minutes=1), values)
                rows = role.execute(sql.encode(), parameters).fetchall()
                assert rows
                assert set(rows[0]) == {"__value", "__text"}
                values[variable.name] = rows[0]["__value"]
            assert values == {name: PLACE[name] for name in values}
            for annotation in each.annotations:
                sql, parameters = bind(annotation.sql, now - timedelta(days=1), now, timedelta(minutes=1), values)
                for row in role.execute(sql.encode(), parameters).fetchall():
                    assert set(row) == {"time", "timeend", "text"}
                    assert row["text"]


@pytest.mark.usefixtures("measured")
def test_a_place_narrows_what_is_shown(app: Connection, board: Connection) -> None:
    app.execute("insert into grid.substation values ('N', 'North', 110000, 20000)")
    app.execute("insert into grid.unit (code, kind, name, substation) values ('F9', 'feeder', 'Unit F9', 'N')")
    app.execute("insert into grid.unit (code, kind, name) values ('R9', 'region', 'Far')")

    def shown(**values: str) -> set[str]:
        return {row["code"] for row in ask(board, ranking.FEEDERS, timedelta(days=1), **values)}

    assert shown() == {"F1", "F2", "F9"}
    assert shown(substation="N") == {"F9"}
    # The far region has no substation; the near one has South, where its busbar stands.
    assert shown(region="R") == {"F1", "F2"}
    assert shown(region="R9") == shown(region="R", substation="N") == set()
    assert {row["code"] for row in ask(board, ranking.WORST_AREAS, region="R")} == {"A1", "A2"}
    assert ask(board, ranking.WORST_AREAS, region="R9") == []
    # A switch has cut it off: it stays with the feeder that supplied it last.
    assert {row["code"] for row in ask(board, feeder.FEEDER_AREAS, feeder="F2")} == {"A3"}
    quoted = "F1' or true --"
    assert ask(board, feeder.FEEDER_AREAS, feeder=quoted) == []


@pytest.mark.usefixtures("measured")
def test_panels_never_scan_a_hypertable(board: Connection, revenue: Connection, subtests: pytest.Subtests) -> None:
    # A table of five rows is scanned by any planner, so scans are priced out: what remains has no index to use, or
    # runs through all of one.
    now = datetime.now(UTC)

    def is_whole_scan(node: dict[str, Any]) -> bool:
        # A chunk, or the table itself where the extension is missing; a custom scan only holds those of its chunks.
        big = node.get("Relation Name", "").startswith(("_hyper_", "block", "balance"))
        reads = node["Node Type"] in {"Seq Scan", "Index Scan", "Index Only Scan"}
        return big and reads and "Index Cond" not in node

    def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield node
        for child in node.get("Plans", []):
            yield from nodes(child)

    for each, role in boards_and_roles(board, revenue):
        role.execute("set enable_seqscan = off")
        statements = {place.panel.key: place.panel.sql for place in each.places}
        statements |= {annotation.key: annotation.sql for annotation in each.annotations}
        for key, statement in statements.items():
            for since in (timedelta(hours=24), timedelta(days=90)):
                with subtests.test(msg=f"{key} {since}"):
                    sql = expand(statement, now - since, now, timedelta(minutes=1), PLACE)
                    (answer,) = role.execute(("explain (format json) " + sql).encode()).fetchall()
                    plan = answer["QUERY PLAN"][0]["Plan"]
                    assert [node["Relation Name"] for node in nodes(plan) if is_whole_scan(node)] == []


@pytest.mark.usefixtures("measured")
def test_the_board_role_can_neither_write_nor_read_customers(board: Connection, subtests: pytest.Subtests) -> None:
    # A role may lift its own default; what it lacks is the right.
    board.execute("set default_transaction_read_only = off")
    for sql in (
        "select import_wh from telemetry.block",
        "select * from telemetry.block",
        "select * from telemetry.reading",
        "select original from telemetry.rejected",
        "select * from grid.account",
        "select * from grid.meter",
        "select * from telemetry.scada",
        "select * from telemetry.point_report",
        "update telemetry.point_last set value = 0",
        "insert into grid.substation values ('X', 'X', 1, 1)",
        "update loss.balance set loss_wh = 0",
        "delete from alerts.alert",
        "create table public.mine (a int)",
        "select payload from grid.outbox",
        "select payload from alerts.delivery",
        "select meter from alerts.alert",
        "select evidence from alerts.alert",
        "select assignee from alerts.alert",
        "select * from alerts.alert",
        "select evidence from alerts.finding",
        "select said from sync.conflict",
        "select body from sync.record",
    ):
        with subtests.test(msg=sql), pytest.raises(psycopg.errors.InsufficientPrivilege):
            board.execute(sql.encode())


@pytest.fixture
def member(stack: StackSpec, database: Any) -> Iterator[Connection]:
    """An account of revenue protection as docs/how-to/boards.md makes it."""
    page = (Path(__file__).parents[3] / "docs/how-to/boards.md").read_text(encoding="utf-8")
    (made,) = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    with psycopg.connect(superuser_dsn(stack), autocommit=True) as superuser:
        superuser.execute(made.replace("'…'", "'of a test'").encode())
        try:
            conninfo = make_conninfo(database.conninfo("revenue"), user="anna", password="of a test")
            with psycopg.connect(conninfo, autocommit=True, row_factory=dict_row) as connection:
                yield connection
        finally:
            superuser.execute("drop role anna")


@pytest.mark.usefixtures("measured")
def test_the_board_roles_are_stopped_by_their_timeout(
    board: Connection, revenue: Connection, member: Connection
) -> None:
    def stopped_after_s(role: Connection) -> float:
        assert role.execute("show statement_timeout").fetchone() == {"statement_timeout": "5s"}
        started = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled):
            role.execute("select pg_sleep(60)")
        return time.monotonic() - started

    with ThreadPoolExecutor(3) as threads:
        assert all(4.5 < took_s < 55 for took_s in threads.map(stopped_after_s, (board, revenue, member)))
    # And the account sees what its boards show.
    assert member.execute("select meter from alerts.alert").fetchall() == [{"meter": None}]


def test_rules_of_health_tell_a_figure_and_fire(app: Connection, board: Connection, grid: None) -> None:
    def figures() -> dict[str, float]:
        rows = {rule.uid: board.execute(rule.sql.encode()).fetchall() for rule in RULES}
        assert all(len(found) == 1 and set(found[0]) == {"value"} for found in rows.values())
        return {uid: found[0]["value"] for uid, found in rows.items()}

    def firing() -> set[str]:
        told = figures()
        return {rule.uid.removeprefix("meterline-") for rule in RULES if told[rule.uid] > rule.above}

    # Without a worker nobody knows how many records wait.
    assert firing() == {"stalled", "kafka-lag"}
    work(app, "1", timedelta(seconds=40), lag=None)
    assert firing() == {"stalled", "kafka-lag"}
    work(app, "1", timedelta(seconds=30))
    assert firing() == {"stalled"}
    for unit in ("A1", "A2"):
        settle(app, unit, timedelta(hours=24, minutes=30))
    settle(app, "A1", timedelta(minutes=1))
    assert firing() == {"behind"}
    settle(app, "A2", timedelta(minutes=1))
    assert firing() == set()
    app.execute("update loss.balance set received_at = recorded_at - interval '40 seconds'")
    # 5 in 125 of what came within the hour; it may be the same input again and again.
    work(app, "1", timedelta(minutes=50), "refusals", records=5, rejected=5)
    app.execute(
        """
        insert into grid.outbox (aggregatetype, aggregateid, type, payload, recorded_at)
        values ('unit', 'A1', 'x', '{}', now() - interval '10 minutes')
        """
    )
    app.execute(
        """
        insert into sync.delivery (delivery_id, outbox_id, target, payload, due_at, entity, sequence)
        select gen_random_uuid(), id, 't', '{}', now() - interval '1 hour', 'unit:A1', id from grid.outbox
        """
    )
    work(app, "1", timedelta(seconds=20), lag=100_001)
    assert firing() == {"delay", "rejected", "lag", "deliveries", "kafka-lag"}
