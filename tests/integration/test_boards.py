"""The panels' SQL against the real database, as the role that Grafana has."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from deploy.boards import panels
from deploy.boards.control_room import BOARDS
from deploy.boards.macros import expand
from deploy.boards.model import Panel, Picture, Unit

Connection = psycopg.Connection[dict[str, Any]]
PANELS = {place.panel.key: place.panel for board in BOARDS for place in board.places}


def connect(database: Any, role: str) -> Connection:
    return psycopg.connect(database.conninfo(role), autocommit=True, row_factory=dict_row)


@pytest.fixture
def app(database: Any) -> Iterator[Connection]:
    with connect(database, "app") as connection:
        yield connection


@pytest.fixture
def board(database: Any) -> Iterator[Connection]:
    with connect(database, "board") as connection:
        yield connection


def ask(board: Connection, panel: Panel, since: timedelta = timedelta(hours=24)) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    sql = expand(panel.sql, now - since, now, timedelta(minutes=1))
    return board.execute(sql.encode()).fetchall()


def settle(app: Connection, unit: str, age: timedelta, interval_s: int = 60, **figures: Any) -> None:
    """Store a block and a result of `unit` for the interval that ended `age` ago."""
    row = {
        "inflow_wh": 1_000,
        "loss_wh": 50,
        "members_loss_wh": 0,
        "sigma_wh": 1.0,
        "coverage": 1.0,
        "computable": True,
        "technical_wh": None,
        "loss_class": "normal",
        **figures,
        "unit": unit,
        "at": datetime.now(UTC) - age,
        "interval_s": interval_s,
    }
    app.execute(
        """
        insert into loss.balance (unit_id, observed_at, interval_s, inflow_wh, outflow_wh, loss_wh, members_loss_wh,
          sigma_wh, coverage, status, computable, technical_wh, class, revision, received_at, recorded_at)
        select unit_id, %(at)s, %(interval_s)s, %(inflow_wh)s, %(inflow_wh)s - %(loss_wh)s, %(loss_wh)s,
          %(members_loss_wh)s, %(sigma_wh)s, %(coverage)s, 'final', %(computable)s, %(technical_wh)s, %(loss_class)s, 1,
          %(at)s + interval '1 second',
          %(at)s + interval '3 seconds'
        from grid.unit where code = %(unit)s
        """,
        row,
    )
    app.execute(
        """
        insert into telemetry.block (unit_id, observed_at, interval_s, version, received_at, precedence,
          received_us, import_wh, export_wh, quality)
        select unit_id, %(at)s, %(interval_s)s, 1, %(at)s, '{1}', '{1}', '{7}', '{0}', '\\x00'
        from grid.unit where code = %(unit)s
        """,
        row,
    )


@pytest.fixture
def grid(app: Connection) -> None:
    """Two feeders of one substation, three areas of two meters and a dedicated customer; nothing measured yet."""
    app.execute("insert into grid.substation values ('S', 'South', 110000, 20000)")
    units = [
        *(("feeder", code, "S") for code in ("F1", "F2")),
        *(("area", code, None) for code in ("A1", "A2", "A3")),
        ("dedicated", "D1", None),
    ]
    for kind, code, substation in units:
        app.execute(
            "insert into grid.unit (code, kind, name, substation, gateway) values (%s, %s, %s, %s, 'g')",
            (code, kind, f"Unit {code}", substation),
        )
        for position in range(2 if kind == "area" else 1):
            meter = f"{code}-{position}"
            app.execute("insert into grid.meter (code, accuracy_class) values (%s, 1)", (meter,))
            app.execute(
                """
                insert into grid.member (unit_id, position, meter, role, valid)
                select unit_id, %s, %s, 2, tstzrange('2020-01-01Z', null) from grid.unit where code = %s
                """,
                (position, meter, code),
            )


@pytest.fixture
def switched(app: Connection, grid: None) -> None:
    """A3 hangs on a node behind a switch that is open, and has left F2 with it."""
    app.execute("insert into grid.node (code, substation) values ('n1', 'S'), ('n2', 'S')")
    app.execute("insert into grid.switch (code, kind, normal) values ('Q1', 'load_break', 'closed')")
    app.execute(
        """
        insert into grid.connection (switch_id, unit_id, from_node_id, to_node_id, valid)
        select s.switch_id, null, a.node_id, b.node_id, tstzrange('2020-01-01Z', null)
        from grid.switch s, grid.node a, grid.node b
        where a.code = 'n1' and b.code = 'n2'
        union all
        select null, u.unit_id, b.node_id, null, tstzrange('2020-01-01Z', null)
        from grid.unit u, grid.node b
        where u.code = 'A3' and b.code = 'n2'
        """
    )
    app.execute(
        """
        insert into grid.switch_position (switch_id, position, valid)
        select switch_id, 'open', tstzrange(now() - interval '1 hour', null) from grid.switch
        """
    )
    app.execute(
        """
        insert into grid.member (unit_id, position, child_id, role, valid)
        select f.unit_id, 1, a.unit_id, 4, tstzrange('2020-01-01Z', now() - interval '1 hour')
        from grid.unit f, grid.unit a where f.code = 'F2' and a.code = 'A3'
        """
    )


@pytest.fixture
def measured(app: Connection, switched: None) -> None:
    """Five live minutes of all units but A3; an open alert; a rejection; a gap."""
    for minute in range(1, 6):
        age = timedelta(minutes=minute)
        settle(app, "F1", age, inflow_wh=10_000, loss_wh=200, members_loss_wh=300, sigma_wh=20.0)
        settle(app, "F2", age, inflow_wh=5_000, loss_wh=1_000, sigma_wh=10.0, technical_wh=150.0, loss_class="high")
        settle(app, "A1", age, inflow_wh=1_000, loss_wh=30)
        settle(app, "A2", age, inflow_wh=1_000, loss_wh=-40)
        settle(app, "D1", age, inflow_wh=4_000, loss_wh=0, coverage=0.5)
    app.execute(
        """
        insert into alerts.alert (fingerprint, kind, severity, unit_id, evidence)
        select 'high_loss:F2', 'high_loss', 'warning', unit_id, '{}' from grid.unit where code = 'F2'
        """
    )
    app.execute(
        """
        insert into telemetry.rejected (fingerprint, reason, detail, quarantined, topic, meters, original,
          original_size, first_at, seen)
        values ('\\x01', 'unknown_meter', '', true, 't', '{}', '{}', 2, now(), 3)
        """
    )
    report(app, "F1-U", timedelta(seconds=5))
    app.execute("insert into telemetry.gateway_sequence values ('g', 1, now(), 1, 9)")
    app.execute("insert into telemetry.gap values ('g', 1, 3, 4, '{[3,4]}', 2, now())")


def report(app: Connection, point: str, age: timedelta | None, quality: int = 0, value: float = 7.5) -> None:
    """A point of F1 with a cycle of a minute, last seen `age` ago."""
    app.execute(
        """
        insert into grid.point (code, unit_id, kind, unit_of_measure, dead_band, cycle_s, sign)
        select %s, unit_id, 'U', 'kV', 0, 60, 1 from grid.unit where code = 'F1'
        """,
        (point,),
    )
    if age is not None:
        app.execute(
            """
            insert into telemetry.point_last (point_id, observed_at, received_at, sequence, value, rank, quality)
            select point_id, now() - %s, now(), 1, %s, 2, %s from grid.point where code = %s
            """,
            (age, value, quality, point),
        )


@pytest.mark.usefixtures("grid")
def test_points_show_their_state_and_age_with_what_is_wrong_first(app: Connection, board: Connection) -> None:
    for number, (age, quality) in enumerate(
        [(5, 0), (119, 0), (130, 0), (7_200, 0), (5, 32), (5, 128), (5, 64), (5, 16), (5, 1), (None, 0)]
    ):
        report(app, f"p{number}", None if age is None else timedelta(seconds=age), quality)
    report(app, "p-none", timedelta(seconds=5), 128, float("nan"))
    rows = {row["point"]: row for row in ask(board, panels.POINTS)}
    assert {point: row["state"] for point, row in rows.items()} == {
        "p0": "good",
        "p1": "good",
        "p2": "stale",
        "p3": "stale",
        "p4": "substituted",
        "p5": "invalid",
        "p6": "old",
        "p7": "blocked",
        "p8": "overflow",
        "p9": "silent",
        "p-none": "invalid",
    }
    assert rows["p3"]["age_s"] == pytest.approx(7_200, abs=60)
    assert rows["p0"]["value"] == 7.5
    assert rows["p-none"]["value"] is None
    assert next(iter(rows)) == "p9"
    assert set(list(rows)[-3:]) == {"p0", "p1", "p4"}
    assert ask(board, panels.POINTS_BY_STATE) == [{"good": 2, "substituted": 1, "bad": 5, "stale": 2, "silent": 1}]


@pytest.mark.usefixtures("measured")
def test_panels_answer_with_the_columns_they_describe(board: Connection, subtests: pytest.Subtests) -> None:
    for key, panel in PANELS.items():
        with subtests.test(msg=key):
            rows = ask(board, panel)
            assert rows
            assert {column.name for column in panel.columns} <= set(rows[0])
            for column in panel.columns:
                values = [row[column.name] for row in rows if row[column.name] is not None]
                if column.unit is not Unit.NONE:
                    assert all(isinstance(value, int | float) for value in values), column.name
                if column.name in {"status", "class"}:
                    assert set(values) <= {word.value for word in column.words}
            if panel.picture is Picture.LINES:
                times = [row["time"] for row in rows]
                assert times == sorted(times)
                assert all(time.tzinfo is not None for time in times)
            if panel.picture is Picture.FIGURES:
                assert len(rows) == 1


@pytest.mark.usefixtures("grid")
def test_panels_answer_before_anything_was_measured(board: Connection, subtests: pytest.Subtests) -> None:
    for key, panel in PANELS.items():
        with subtests.test(msg=key):
            ask(board, panel)


@pytest.mark.usefixtures("measured")
def test_panels_never_scan_a_hypertable(board: Connection, subtests: pytest.Subtests) -> None:
    # A table of five rows is scanned by any planner, so scans are priced out: what remains has no index to use, or
    # runs through all of one.
    board.execute("set enable_seqscan = off")
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

    for key, panel in PANELS.items():
        with subtests.test(msg=key):
            sql = expand(panel.sql, now - timedelta(hours=24), now, timedelta(minutes=1))
            (answer,) = board.execute(("explain (format json) " + sql).encode()).fetchall()
            plan = answer["QUERY PLAN"][0]["Plan"]
            assert [node["Relation Name"] for node in nodes(plan) if is_whole_scan(node)] == []


@pytest.mark.usefixtures("measured")
def test_feeders_show_their_loss_with_band_and_class(board: Connection) -> None:
    worst, other = ask(board, panels.FEEDERS)
    assert (worst["feeder"], worst["class"], worst["status"]) == ("Unit F2", "high", "live")
    assert worst["loss_rate"] == pytest.approx(0.2)
    assert worst["band"] == pytest.approx(1.96 * 10 / 5_000)
    assert worst["technical_rate"] == pytest.approx(0.03)
    assert other["technical_rate"] is None
    assert (other["class"], other["supply_wh"], other["loss_wh"]) == ("normal", 10_000, 200)
    assert other["total_rate"] == pytest.approx(0.05)
    assert 55 < other["age_s"] < 180


def test_a_day_s_class_needs_the_whole_band_beyond_the_limit(app: Connection, board: Connection, grid: None) -> None:
    settle(app, "A1", timedelta(minutes=2), inflow_wh=1_000, loss_wh=130, sigma_wh=20.0)
    settle(app, "A2", timedelta(minutes=2), inflow_wh=1_000, loss_wh=-30, sigma_wh=20.0)
    assert {row["class"] for row in ask(board, panels.WORST_AREAS)} == {"normal"}
    settle(app, "A1", timedelta(minutes=1), inflow_wh=9_000, loss_wh=1_170, sigma_wh=5.0)
    settle(app, "A2", timedelta(minutes=1), inflow_wh=9_000, loss_wh=-270, sigma_wh=5.0)
    assert [row["class"] for row in ask(board, panels.WORST_AREAS)] == ["high", "negative"]


def test_what_cannot_be_computed_has_no_rate(app: Connection, board: Connection, grid: None) -> None:
    settle(app, "F1", timedelta(minutes=1), inflow_wh=0, loss_wh=0, computable=False, loss_class="not_computable")
    row = next(row for row in ask(board, panels.FEEDERS) if row["feeder"] == "Unit F1")
    assert (row["class"], row["loss_rate"], row["band"]) == ("not_computable", None, None)


def test_an_interval_that_still_gathers_its_members_is_waited_for(
    app: Connection, board: Connection, grid: None
) -> None:
    settle(app, "F1", timedelta(seconds=80), loss_wh=70)
    settle(app, "F1", timedelta(seconds=20), loss_wh=900, computable=False, coverage=0.1)
    row = next(row for row in ask(board, panels.FEEDERS) if row["feeder"] == "Unit F1")
    assert (row["loss_wh"], row["status"], row["coverage"]) == (70, "live", 1.0)


@pytest.mark.parametrize(
    ("interval_s", "minutes", "status"),
    [(60, 4.9, "live"), (60, 5.1, "stale"), (900, 44.9, "live"), (900, 45.1, "stale"), (60, 60 * 24 * 8, "silent")],
)
def test_a_value_that_stopped_is_stale(
    app: Connection, board: Connection, grid: None, interval_s: int, minutes: float, status: str
) -> None:
    settle(app, "F1", timedelta(minutes=minutes), interval_s)
    feeder = next(row for row in ask(board, panels.FEEDERS) if row["feeder"] == "Unit F1")
    unit = next(row for row in ask(board, panels.FRESHNESS) if row["unit"] == "Unit F1")
    assert (feeder["status"], unit["status"]) == (status, status)
    (counts,) = ask(board, panels.UNITS_BY_STATUS)
    assert counts == {"live": 0, "stale": 0, "silent": 5} | {status: 6 if status == "silent" else 1}
    (now,) = ask(board, panels.NOW)
    assert (now["supply_w"] is None) == (status != "live")


@pytest.mark.usefixtures("measured")
def test_figures_of_the_whole_grid(app: Connection, board: Connection) -> None:
    (now,) = ask(board, panels.NOW)
    assert now["supply_w"] == pytest.approx(15_000 * 60)
    assert now["line_rate"] == pytest.approx(1_200 / 15_000)
    assert now["total_rate"] == pytest.approx(1_500 / 15_000)
    assert now["feeders"] == 2
    assert ask(board, panels.SETTLED) == [{"settled": 3, "known": 4}]
    assert ask(board, panels.UNITS_BY_STATUS) == [{"live": 5, "stale": 0, "silent": 1}]
    assert ask(board, panels.ALERTS_BY_STATE) == [{"open": 1, "untouched": 1}]
    # A new interval moves them.
    settle(app, "F2", timedelta(seconds=5), inflow_wh=2_000, loss_wh=0)
    (now,) = ask(board, panels.NOW)
    assert now["supply_w"] == pytest.approx(12_000 * 60)


@pytest.mark.usefixtures("measured")
def test_worst_areas_come_first(board: Connection) -> None:
    rows = ask(board, panels.WORST_AREAS)
    assert [(row["area"], row["class"]) for row in rows] == [("Unit A1", "normal"), ("Unit A2", "negative")]
    assert rows[0]["supply_wh"] == 5_000
    assert rows[0]["loss_rate"] == pytest.approx(0.03)
    assert rows[0]["band"] == pytest.approx(1.96 * 5 / 5_000)


def test_supply_is_power_whatever_the_interval(app: Connection, board: Connection, grid: None) -> None:
    settle(app, "F1", timedelta(hours=2), 900, inflow_wh=2_500)
    settle(app, "F1", timedelta(hours=1), 60, inflow_wh=100)
    rows = ask(board, panels.SUPPLY)
    assert [row["power_w"] for row in rows] == pytest.approx([10_000, 6_000])
    assert {row["metric"] for row in rows} == {"South"}


def test_a_late_feeder_is_no_drop_in_supply(app: Connection, board: Connection, grid: None) -> None:
    for minute in (1, 2, 3):
        settle(app, "F1", timedelta(minutes=minute), inflow_wh=1_000)
        if minute > 1:
            settle(app, "F2", timedelta(minutes=minute), inflow_wh=1_000)
    assert [row["power_w"] for row in ask(board, panels.SUPPLY)] == pytest.approx([120_000, 120_000])


@pytest.mark.usefixtures("measured")
def test_readings_and_delay(board: Connection) -> None:
    # Two areas of two meters, and half of a dedicated customer's one.
    assert {row["readings"] for row in ask(board, panels.READINGS)} == {4.5}
    assert {(row["p50"], row["p99"]) for row in ask(board, panels.DELAY)} == {(2.0, 2.0)}


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
    ):
        with subtests.test(msg=sql), pytest.raises(psycopg.errors.InsufficientPrivilege):
            board.execute(sql.encode())


def test_the_board_role_is_stopped_by_its_timeout(board: Connection) -> None:
    assert board.execute("show statement_timeout").fetchone() == {"statement_timeout": "5s"}
