"""What is old goes, what still waits stays: on real hypertables, and on plain tables."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from typer.testing import CliRunner

from meterline.cli import app
from meterline.config import Settings
from store.connection import Connection, connect
from store.retention import CHUNKS, Removed, read_kept, retention_rules, run_retention
from tests.integration.conftest import Database
from tests.waiting import until

NOW = datetime.now(UTC).replace(microsecond=0)
RULES = retention_rules(blocks=10, balances=30, scada=20, events=20, rejected=5, outbox=5, deliveries=5, findings=10)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


@pytest.fixture
def owner(database: Database) -> Iterator[Connection]:
    with connect(database.conninfo("owner"), "owner") as connection:
        connection.autocommit = True
        yield connection


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """Of the application role."""
    with connect(database.conninfo("app"), "test") as connection:
        connection.autocommit = True
        yield connection


@pytest.fixture
def plain(owner: Connection) -> None:
    """The big tables as they are where TimescaleDB is missing."""
    for table in ("telemetry.block", "telemetry.scada", "telemetry.event", "loss.balance", "loss.superseded"):
        owner.execute(f"create table {table}_plain (like {table} including all)")
        owner.execute(f"drop table {table} cascade")
        owner.execute(f"alter table {table}_plain rename to {table.split('.')[1]}")
        owner.execute(f"grant select, insert, update, delete on {table} to meterline_app")


def add_block(connection: Connection, at: datetime, unit_id: int = 1) -> None:
    connection.execute(
        "insert into telemetry.block (unit_id, observed_at, interval_s, version, received_at, received_us, precedence,"
        " import_wh, export_wh, quality) values (%s, %s, 900, 1, %s, '{1}', '{1}', '{1}', '{0}', '\\x00')",
        [unit_id, at, at],
    )
    connection.execute(
        "insert into loss.balance (unit_id, observed_at, interval_s, inflow_wh, outflow_wh, loss_wh, members_loss_wh,"
        " sigma_wh, coverage, status, computable, revision, received_at)"
        " values (%s, %s, 900, 1, 1, 0, 0, 0, 1, 'final', true, 1, %s)",
        [unit_id, at, at],
    )
    connection.execute(
        "insert into loss.superseded (unit_id, observed_at, interval_s, revision, inflow_wh, outflow_wh, loss_wh,"
        " members_loss_wh, uncontracted_wh, sigma_wh, coverage, computable, status, published_at)"
        " values (%s, %s, 900, 1, 1, 1, 0, 0, 0, 0, 1, true, 'final', %s)",
        [unit_id, at, at],
    )


def add_scada(connection: Connection, at: datetime) -> None:
    connection.execute(
        "insert into telemetry.scada (unit_id, observed_at, digest, sequence, cause, received_at, first_us,"
        " power_count, point_id, offset_us, value, quality)"
        " values (1, %s, 1, 1, 3, %s, 0, 1, '{1}', '{0}', '{1}', '\\x00')",
        [at, at],
    )


def add_event(connection: Connection, at: datetime) -> None:
    connection.execute("insert into telemetry.event values (1, 'M-1', %s, 'last_gasp', 1, %s)", [at, at])


def add_rejected(
    connection: Connection, name: str, first_at: datetime, *, quarantined: bool, replayed_at: datetime | None = None
) -> None:
    connection.execute(
        "insert into telemetry.rejected (fingerprint, reason, detail, quarantined, topic, meters, original,"
        " original_size, first_at, replayed_at) values (%s, 'r', %s, %s, '', '{}', '', 0, %s, %s)",
        [name.encode(), name, quarantined, first_at, replayed_at],
    )


def add_change(connection: Connection, at: datetime) -> int:
    row = connection.execute(
        "insert into grid.outbox (aggregatetype, aggregateid, type, payload, recorded_at)"
        " values ('unit', 'A1', 'changed', '{}', %s) returning id",
        [at],
    ).fetchone()
    assert row is not None
    return int(row[0])


def relayed_to(connection: Connection, topic: str, outbox_id: int) -> None:
    connection.execute(
        "insert into sync.relay select %s, transaction_id, id from grid.outbox where id = %s"
        " on conflict (topic) do update set transaction_id = excluded.transaction_id, outbox_id = excluded.outbox_id",
        [topic, outbox_id],
    )


def owe(connection: Connection, outbox_id: int, created_at: datetime, delivered_at: datetime | None) -> None:
    connection.execute(
        "insert into sync.delivery"
        " (delivery_id, outbox_id, sequence, target, entity, payload, created_at, delivered_at)"
        " values (%s, %s, %s, 't', 'unit:A1', '{}', %s, %s)",
        [uuid.uuid4(), outbox_id, outbox_id, created_at, delivered_at],
    )


def times(connection: Connection, table: str) -> set[datetime]:
    return {row[0] for row in connection.execute(f"select observed_at from {table}")}


def ids(connection: Connection, table: str, column: str = "id") -> list[int]:
    return [row[0] for row in connection.execute(f"select {column} from {table} order by 1")]


def tidy(connection: Connection, *, dry_run: bool = False) -> dict[str, Removed]:
    outcome = run_retention(connection, RULES, NOW, dry_run=dry_run, batch=3)
    assert outcome is not None
    return {removed.rule: removed for removed in outcome}


def test_whole_chunks_are_dropped(connection: Connection) -> None:
    for days in (0, 5, 9, 12.5, 20.5, 45, 300):
        add_block(connection, ago(days))
    expected = tidy(connection, dry_run=True)
    assert len(times(connection, "telemetry.block")) == 7  # it only told
    removed = tidy(connection)
    assert removed == expected
    assert len(removed["blocks"].chunks) == 4
    assert len(removed["balances"].chunks) == len(removed["superseded"].chunks) == 2
    assert times(connection, "telemetry.block") == {ago(days) for days in (0, 5, 9)}
    for table in ("loss.balance", "loss.superseded"):
        assert times(connection, table) == {ago(days) for days in (0, 5, 9, 12.5, 20.5)}
    assert tidy(connection)["blocks"].chunks == ()  # the same again changes nothing
    kept = {kept.rule: kept for kept in read_kept(connection, RULES)}
    assert kept["blocks"].chunks == 3
    oldest = kept["blocks"].oldest
    assert oldest is not None
    assert ago(10) < oldest <= ago(9)
    assert kept["blocks"].size_bytes > 0


def test_more_chunks_than_one_transaction_drops(connection: Connection) -> None:
    for days in range(11, 70):
        add_block(connection, ago(days))
    assert len(tidy(connection)["blocks"].chunks) == 59 > CHUNKS
    assert times(connection, "telemetry.block") == set()


def test_rows_go_in_batches_where_there_are_no_chunks(plain: None, connection: Connection) -> None:
    for days in (0, 9, *range(11, 25)):
        add_block(connection, ago(days))
    add_block(connection, ago(31))
    expected = tidy(connection, dry_run=True)
    removed = tidy(connection)
    assert removed == expected
    assert (removed["blocks"].rows, removed["balances"].rows, removed["superseded"].rows) == (15, 1, 1)
    assert times(connection, "telemetry.block") == {ago(0), ago(9)}
    assert len(times(connection, "loss.balance")) == 16
    kept = {kept.rule: kept for kept in read_kept(connection, RULES)}
    assert (kept["blocks"].chunks, kept["blocks"].oldest) == (None, ago(9))


def test_points_go_by_chunks(connection: Connection) -> None:
    for days in (0, 19, 22, 40):
        add_scada(connection, ago(days))
    expected = tidy(connection, dry_run=True)
    removed = tidy(connection)
    assert removed == expected
    assert len(removed["scada"].chunks) == 2
    assert times(connection, "telemetry.scada") == {ago(0), ago(19)}


def test_points_go_in_batches_where_there_are_no_chunks(plain: None, connection: Connection) -> None:
    for days in (0, 19, *range(21, 28)):
        add_scada(connection, ago(days))
    assert tidy(connection, dry_run=True)["scada"].rows == tidy(connection)["scada"].rows == 7
    assert times(connection, "telemetry.scada") == {ago(0), ago(19)}


def test_events_go_by_chunks(connection: Connection) -> None:
    for days in (0, 13, 35, 60):
        add_event(connection, ago(days))
    expected = tidy(connection, dry_run=True)
    removed = tidy(connection)
    assert removed == expected
    assert len(removed["events"].chunks) == 2
    assert times(connection, "telemetry.event") == {ago(0), ago(13)}


def test_events_go_in_batches_where_there_are_no_chunks(plain: None, connection: Connection) -> None:
    for days in (0, 19, *range(21, 28)):
        add_event(connection, ago(days))
    assert tidy(connection, dry_run=True)["events"].rows == tidy(connection)["events"].rows == 7
    assert times(connection, "telemetry.event") == {ago(0), ago(19)}


def test_the_application_may_drop_nothing_else(connection: Connection, owner: Connection) -> None:
    add_block(connection, ago(20))
    owner.execute("create table grid.other (observed_at timestamptz not null)")
    drop = "select telemetry.drop_chunks_before(%s::regclass, %s, %s)"
    for arguments in (
        ["telemetry.block", NOW, 10],
        ["telemetry.block", datetime.now(UTC) + timedelta(days=1), 10],
        ["telemetry.block", None, 10],
        ["grid.other", ago(20), 10],
        ["pg_catalog.pg_class", ago(20), 10],
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(drop, arguments)
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        connection.execute(drop, ["telemetry.block", ago(5), 0])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select public.drop_chunks('telemetry.block', older_than => now())")
    assert len(times(connection, "telemetry.block")) == 1


def test_the_board_role_may_not_drop(database: Database) -> None:
    with (
        psycopg.connect(database.conninfo("board")) as board,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        board.execute("select telemetry.drop_chunks_before('telemetry.block', now() - interval '9 days', 1)")


def test_quarantined_input_waits(connection: Connection) -> None:
    add_rejected(connection, "refused, old", ago(6), quarantined=False)
    add_rejected(connection, "refused, new", ago(4), quarantined=False)
    add_rejected(connection, "waits, old", ago(600), quarantined=True)
    add_rejected(connection, "given back long ago", ago(600), quarantined=True, replayed_at=ago(6))
    add_rejected(connection, "given back just now", ago(600), quarantined=True, replayed_at=ago(1))
    for number in range(7):
        add_rejected(connection, f"old {number}", ago(100), quarantined=False)
    assert tidy(connection)["rejected"].rows == 9
    left = {row[0] for row in connection.execute("select detail from telemetry.rejected")}
    assert left == {"refused, new", "waits, old", "given back just now"}


def test_what_is_owed_or_not_relayed_stays(connection: Connection) -> None:
    changes = [add_change(connection, ago(days)) for days in (40, 30, 20, 8, 7, 6)]
    done, owed, lately, plain_row, unrelayed, newest = changes
    owe(connection, done, ago(40), ago(39))
    owe(connection, owed, ago(30), None)
    owe(connection, lately, ago(20), ago(1))
    assert tidy(connection)["outbox"].rows == 0  # nothing was relayed yet
    relayed_to(connection, "grid.change", plain_row)
    # `done` lost its delivery in the first round.
    removed = tidy(connection)
    assert removed["outbox"].rows == 2
    assert ids(connection, "grid.outbox") == [owed, lately, unrelayed, newest]
    assert sorted(ids(connection, "sync.delivery", "outbox_id")) == [owed, lately]
    relayed_to(connection, "grid.change", newest)
    relayed_to(connection, "another topic", owed)
    assert tidy(connection)["outbox"].rows == 0  # the other topic hasn't got them
    relayed_to(connection, "another topic", newest)
    tidy(connection)
    assert ids(connection, "grid.outbox") == [owed, lately, newest]  # the newest stays, to order the next one


def test_alert_deliveries_go_when_they_were_made(connection: Connection, owner: Connection) -> None:
    connection.execute("insert into grid.unit (code, kind, name) values ('A1', 'area', 'A1')")
    connection.execute(
        "insert into alerts.alert (fingerprint, kind, severity, unit_id, evidence)"
        " select 'f', 'high_loss', 'warning', unit_id, '{}' from grid.unit"
    )
    for created, delivered in ((ago(30), ago(29)), (ago(30), None), (ago(30), ago(2))):
        connection.execute(
            "insert into alerts.delivery (delivery_id, alert_id, target, payload, created_at, delivered_at)"
            " select %s, alert_id, 't', '{}', %s, %s from alerts.alert",
            [uuid.uuid4(), created, delivered],
        )
    assert tidy(connection)["alert_deliveries"].rows == 1
    left = connection.execute("select delivered_at from alerts.delivery order by 1 nulls last").fetchall()
    assert left == [(ago(2),), (None,)]


def test_findings_that_ended_long_ago_go(connection: Connection) -> None:
    connection.execute("insert into grid.unit (code, kind, name) values ('A1', 'area', 'A1')")
    connection.execute(
        "insert into alerts.alert (fingerprint, kind, severity, unit_id, evidence, state)"
        " select f, 'high_loss', 'warning', unit_id, '{}', f from grid.unit, unnest(array['open', 'closed']) f"
    )
    rows = (
        ("lately", ago(9), None, "closed", None),
        ("long ago", ago(11), None, "closed", None),
        ("without an alert", ago(11), None, None, None),
        ("holds", None, None, "open", None),
        ("its alert is live", ago(11), None, "open", None),
        ("still to be looked at", ago(11), ago(11), None, None),
        ("judged in the field", ago(11), None, "closed", "confirmed"),
    )
    for fingerprint, ended_at, due_at, alert, result in rows:
        connection.execute(
            "insert into alerts.finding (fingerprint, kind, severity, unit_id, begin_at, seen_at, ended_at, figures,"
            " evidence, due_at, alert_id, result) select %s, 'x', 'warning', unit_id, %s, %s, %s, '{}', '{}', %s,"
            " (select alert_id from alerts.alert where fingerprint = %s), %s from grid.unit",
            [fingerprint, ago(30), ago(30), ended_at, due_at, alert, result],
        )
    assert [r.rows for r in run_retention(connection, RULES, NOW, dry_run=True) or () if r.rule == "findings"] == [2]
    assert tidy(connection)["findings"].rows == 2
    left = {code for (code,) in connection.execute("select fingerprint from alerts.finding")}
    assert left == {row[0] for row in rows} - {"long ago", "without an alert"}


def test_findings_of_usage_that_ended_long_ago_go(connection: Connection) -> None:
    connection.execute("insert into grid.unit (code, kind, name) values ('A1', 'area', 'A1')")
    connection.execute(
        "insert into alerts.alert (fingerprint, kind, severity, unit_id, evidence)"
        " select 'f', 'suspected_theft', 'warning', unit_id, '{}' from grid.unit"
    )
    alerted = connection.execute(
        "insert into alerts.finding (fingerprint, kind, severity, unit_id, begin_at, seen_at, figures, evidence,"
        " alert_id) select 'f', 'x', 'warning', unit_id, %s, %s, '{}', '{}', (select alert_id from alerts.alert)"
        " from grid.unit returning finding_id",
        [ago(30), ago(30)],
    ).fetchone()
    assert alerted is not None
    rows = (
        ("lately", ago(9), None),
        ("long ago", ago(11), None),
        ("holds", None, None),
        ("its alert is live", ago(11), alerted[0]),
        ("judged in the field", ago(11), None),
    )
    for meter, ended_at, alert in rows:
        connection.execute(
            "insert into usage.finding (unit_id, meter, kind, source, confidence, begin_at, opened_at, seen_at,"
            " ended_at, expected_wh, reasons, evidence, alert_finding_id) select unit_id, %s, 'theft', 'daily', 0.5,"
            " %s, %s, %s, %s, 0, '{}', '{}', %s from grid.unit",
            [meter, ago(30), ago(30), ago(30), ended_at, alert],
        )
    connection.execute(
        "insert into usage.field_check select finding_id, 'refuted', now(), 'li', '' from usage.finding"
        " where meter = 'judged in the field'"
    )
    assert tidy(connection)["usage_findings"].rows == 1
    left = {meter for (meter,) in connection.execute("select meter from usage.finding")}
    assert left == {row[0] for row in rows} - {"long ago"}


def test_one_owner_at_a_time(connection: Connection, database: Database) -> None:
    with connect(database.conninfo("app"), "other") as other:
        other.autocommit = True
        other.execute("select pg_advisory_lock(hashtextextended('retention', 0))")
        assert run_retention(connection, RULES, NOW) is None
    # A session that ends gives its lock back a moment later.
    until(lambda: run_retention(connection, RULES, NOW) is not None, "the lock is given back")
    with connect(database.conninfo("app"), "other") as other:
        other.autocommit = True
        assert run_retention(other, RULES, NOW) is not None  # the lock was given back


def test_a_long_query_holds_up_nobody_but_the_drop(connection: Connection, database: Database) -> None:
    add_block(connection, ago(20))
    add_block(connection, ago(0))
    with connect(database.conninfo("app"), "analyst") as analyst:
        analyst.execute("select count(*) from telemetry.block").fetchone()  # its transaction stays open
        with pytest.raises(psycopg.errors.LockNotAvailable):
            run_retention(connection, RULES, NOW)
        connection.execute("select count(*) from telemetry.block").fetchone()
        add_block(connection, ago(1))
    assert len(tidy(connection)["blocks"].chunks) == 1


def test_the_commands(settings: Settings, config_path: str) -> None:
    runner = CliRunner()
    shown = runner.invoke(app, ["retention", "show", "--json", "--config", str(config_path)])
    assert shown.exit_code == 0
    rows = {row["rule"]: row for row in json.loads(shown.stdout)}
    assert rows["blocks"]["days"] == settings.retention.blocks_d == 415
    assert rows["outbox"]["chunks"] is None
    told = runner.invoke(app, ["retention", "run", "--dry-run", "--json", "--config", str(config_path)])
    assert told.exit_code == 0
    assert {row["rule"] for row in json.loads(told.stdout)} == set(rows)
    for arguments in (["run"], ["run", "--dry-run"], ["show"]):
        done = runner.invoke(app, ["retention", *arguments, "--config", str(config_path)])
        assert done.exit_code == 0
        assert "telemetry.rejected" in done.stdout
