"""A small grid with results for the boards, the roles that ask, and how panels are asked."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from deploy.boards.macros import expand
from deploy.boards.model import Panel
from deploy.boards.registry import BOARDS

Connection = psycopg.Connection[dict[str, Any]]
PANELS = {(board.source, place.panel.key): place.panel for board in BOARDS for place in board.places}
PLACE = {"region": "*", "substation": "*", "feeder": "F1", "area": "A1", "meter": "*", "finding": "0"}


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


@pytest.fixture
def revenue(database: Any) -> Iterator[Connection]:
    with connect(database, "revenue") as connection:
        yield connection


def ask(
    board: Connection, panel: Panel, since: timedelta = timedelta(hours=24), zone: str = "UTC", **values: str
) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    sql = expand(panel.sql, now - since, now, timedelta(minutes=1), {**PLACE, **values}, zone)
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
        "reasons": 8,
        "total_sigma_wh": 0.0,
        **figures,
        "unit": unit,
        "at": datetime.now(UTC) - age,
        "interval_s": interval_s,
    }
    app.execute(
        """
        insert into loss.balance (unit_id, observed_at, interval_s, inflow_wh, outflow_wh, loss_wh, members_loss_wh,
          sigma_wh, coverage, status, computable, technical_wh, class, reasons, total_sigma_wh,
          revision, received_at, recorded_at)
        select unit_id, %(at)s, %(interval_s)s, %(inflow_wh)s, %(inflow_wh)s - %(loss_wh)s, %(loss_wh)s,
          %(members_loss_wh)s, %(sigma_wh)s, %(coverage)s, 'final', %(computable)s, %(technical_wh)s, %(loss_class)s,
          %(reasons)s, %(total_sigma_wh)s, 1,
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


def day(app: Connection, unit: str, days: int, **figures: Any) -> None:
    """A published day of `unit`, so many days ago."""
    row = {
        "inflow_wh": 20_000,
        "loss_wh": 1_000,
        "sigma_wh": 10.0,
        "technical_wh": 500.0,
        "class": "normal",
        "reasons": 8,
        "status": "final",
        **figures,
        "unit": unit,
        "days": days,
    }
    app.execute(
        """
        insert into loss.period_revision (
          unit_id, period, first_day, revision, begins_at, ends_at, expected_s, covered_s, intervals, from_at, to_at,
          inflow_wh, outflow_wh, loss_wh, members_loss_wh, uncontracted_wh, generation_wh, estimated_wh, technical_wh,
          averaging_wh, technical_sigma_wh, sigma_wh, systematic_sigma_wh, ends_sigma_wh, opening_sigma_wh,
          closing_sigma_wh, computable, class, reasons, status, published_at
        )
        select
          u.unit_id, 'day', d.day, 1, d.day, d.day + 1, 86400, 86400, 96, d.day, d.day + 1, %(inflow_wh)s,
          %(inflow_wh)s - %(loss_wh)s, %(loss_wh)s, 0, 0, 0, 0, %(technical_wh)s, 0, 0, %(sigma_wh)s, 0, 0, 0, 0, true,
          %(class)s, %(reasons)s, %(status)s, d.day + 1
        from grid.unit u, (select current_date - %(days)s::int as day) d
        where u.code = %(unit)s
        """,
        row,
    )


@pytest.fixture
def grid(app: Connection) -> None:
    """A region with a busbar and two feeders of one substation, three areas of two meters, a dedicated customer."""
    app.execute("insert into grid.substation values ('S', 'South', 110000, 20000)")
    units = [
        ("region", "R", None),
        ("element", "B", "S"),
        *(("feeder", code, "S") for code in ("F1", "F2")),
        *(("area", code, None) for code in ("A1", "A2", "A3")),
        ("dedicated", "D1", None),
    ]
    for kind, code, substation in units:
        app.execute(
            """
            insert into grid.unit (code, kind, name, substation, gateway, rating_va, longitude_deg, latitude_deg)
            values (%s, %s, %s, %s, 'g', 100000, 121.5, 31.2)
            """,
            (code, kind, f"Unit {code}", substation),
        )
        if kind in {"region", "element"}:
            continue
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
    for position, (child, parent) in enumerate([("B", "R"), ("F1", "B"), ("F2", "B"), ("A1", "F1"), ("A2", "F1")]):
        app.execute(
            """
            insert into grid.member (unit_id, position, child_id, role, valid)
            select p.unit_id, 10 + %s, c.unit_id, 4, tstzrange('2020-01-01Z', null)
            from grid.unit p, grid.unit c where p.code = %s and c.code = %s
            """,
            (position, parent, child),
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
        settle(app, "D1", age, inflow_wh=4_000, loss_wh=0, coverage=0.5, reasons=4)
        settle(app, "B", age, inflow_wh=15_000, loss_wh=0, members_loss_wh=1_500, total_sigma_wh=30.0)
        settle(app, "R", age, inflow_wh=15_000, loss_wh=0, members_loss_wh=1_500, total_sigma_wh=30.0)
    for unit in ("F1", "F2", "A1", "A2", "D1"):
        for days in (1, 2):
            day(app, unit, days, loss_wh=1_000 * days)
    app.execute("insert into grid.outbox (aggregatetype, aggregateid, type, payload) values ('unit', 'A1', 'x', '{}')")
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
    work(app, "1", timedelta(seconds=5))
    conflict(app, "missing", timedelta(days=2))
    consistent(app, "A1", "transformer_customer", 0, 80, 79)
    changed(app, "F1", 1)
    held(app, "gis", "A1", timedelta(hours=2))
    doubt(app, "A1", "spike", 3)


def held(app: Connection, target: str, code: str, drifted: timedelta | None = None) -> None:
    """What a target holds of an entity: as the model has it, or otherwise for so long."""
    app.execute(
        """
        insert into sync.target_state (target, kind, code, expected, seen, checked_at, since)
        values (%(target)s, 'unit', %(code)s, '\\x01', %(seen)s, now(), now() - %(drifted)s::interval)
        """,
        {"target": target, "code": code, "seen": b"\x01" if drifted is None else b"\x02", "drifted": drifted},
    )


def doubt(app: Connection, unit: str, rule: str, position: int) -> None:
    """What a validation rule found doubtful of a member yesterday."""
    app.execute(
        """
        insert into telemetry.doubt
        select
          unit_id, current_date - 1, %s, %s, now() - interval '1 day', now() - interval '23 hours', 9000, 3000, now()
        from grid.unit where code = %s
        """,
        (position, rule, unit),
    )


def work(app: Connection, worker: str, age: timedelta, part: str = "areas", **figures: Any) -> None:
    """What a worker told of a part of itself, so long ago."""
    row = {
        "lag": 3,
        "batches": 2,
        "records": 40,
        "readings": 16_000,
        "rejected": 0,
        "dropped": 0,
        "flush_s": 0.2,
        "slowest_s": 0.4,
        **figures,
    }
    app.execute(
        """
        insert into telemetry.worker_state (
          at, worker, part, lag_records, batches, records, readings, rejected, dropped, flush_s, slowest_flush_s, over_s
        )
        select now() - %(age)s, %(worker)s, %(part)s, %(lag)s, %(batches)s, %(records)s, %(readings)s, %(rejected)s,
          %(dropped)s, %(flush_s)s, %(slowest_s)s, 10
        """,
        {**row, "worker": worker, "age": age, "part": part},
    )


def conflict(app: Connection, kind: str, age: timedelta, department: str = "marketing", entity: str = "meter") -> None:
    """An open conflict with a record of the marketing system."""
    app.execute(
        """
        insert into sync.conflict (
          fingerprint, kind, entity_kind, field, system, dataset, department, said, confidence, opened_at, seen_at
        )
        select
          sha256(gen_random_uuid()::text::bytea), %s, %s, '', 'marketing', 'meters', %s, '{}', 1, now() - %s, now()
        """,
        (kind, entity, department, age),
    )


def consistent(app: Connection, unit: str, relation: str, days: int, relations: int, right: int) -> None:
    """How many of a unit's relations agreed so many days ago."""
    app.execute(
        """
        insert into sync.consistency
        select unit_id, %s, current_date - %s::int, %s, %s from grid.unit where code = %s
        """,
        (relation, days, relations, right, unit),
    )


def changed(app: Connection, unit: str, days: int, before_wh: int = 2_000, **parts_wh: int) -> None:
    """Why the loss of a unit's day, so many days ago, is another than the day before."""
    parts = ("length", "data_quality", "topology", "meter", "generation", "technical", "unexplained")
    app.execute(
        """
        insert into loss.day_change
        select unit_id, current_date - %s::int, 1, 1, %s, %s, %s, %s, %s, %s, %s, %s, 10 from grid.unit where code = %s
        """,
        (days, before_wh, *(parts_wh.get(part, 0) for part in parts), unit),
    )


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


def block(app: Connection, unit: str, meters: int, age: timedelta) -> None:
    """A block of customers' meters of `unit`, on one phase each in turn, of 60, 120, … W and 220, 221, … V."""
    for position in range(10, 10 + meters):
        app.execute("insert into grid.meter (code, accuracy_class) values (%s, 1)", (f"{unit}-m{position}",))
        app.execute(
            """
            insert into grid.member (unit_id, position, meter, role, valid, phases)
            select unit_id, %s, %s, 2, tstzrange('2020-01-01Z', null), %s from grid.unit where code = %s
            """,
            (position, f"{unit}-m{position}", "ABC"[position % 3], unit),
        )
    imports = [-(2**63)] * 10 + [n + 1 for n in range(meters)]
    volts = [-(2**15)] * 10 + [2_200 + 10 * n for n in range(meters)]
    app.execute(
        """
        insert into telemetry.block (unit_id, observed_at, interval_s, version, received_at, precedence,
          received_us, import_wh, export_wh, voltage_a_dv, quality)
        select unit_id, now() - %s, 60, 1, now(), '{1}', '{1}', %s, '{0}', %s, %s from grid.unit where code = %s
        """,
        (age, imports, volts, bytes(10 + meters), unit),
    )
    app.execute(
        """
        insert into loss.balance (unit_id, observed_at, interval_s, inflow_wh, outflow_wh, loss_wh, members_loss_wh,
          sigma_wh, coverage, status, computable, class, revision, received_at)
        select unit_id, observed_at, 60, 1, 1, 0, 0, 0, 1, 'final', true, 'normal', 1, now()
        from telemetry.block join grid.unit using (unit_id) where code = %s
        order by observed_at desc
        limit 1
        """,
        (unit,),
    )
