"""Master data in two times on a real database: constraints, changes, and what is read as valid and as known."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from grid.memberships import Membership
from grid.model import (
    Duty,
    GreaterUnit,
    GridModel,
    Organisation,
    OrganisationKind,
    Person,
    Responsibility,
    UnitKind,
    UnitParent,
)
from grid.roster import END_US
from store.connection import Connection, connect
from store.grid_change import refresh_present
from store.grid_reader import read_account, read_entities, read_meter, read_unit
from store.grid_writer import BEGINNING
from store.views import load_views
from sync.change import (
    AppliedChange,
    ContradictionError,
    InvalidChangeError,
    MeterNotInstalledError,
    UnknownOrganisationError,
    apply_change,
    read_change,
)
from sync.load import load_grid
from tests.small_grid import JUNE, small_model

JULY = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.fixture
def conninfo(database: Any) -> str:
    return str(database.conninfo("app"))


@pytest.fixture
def connection(conninfo: str) -> Iterator[Connection]:
    with connect(conninfo, "test") as opened:
        opened.autocommit = True
        yield opened


def whole_model() -> GridModel:
    """The small grid with a region above its lines, and people."""
    return dataclasses.replace(
        small_model(),
        greater=(
            GreaterUnit("R1", "Region", UnitKind.REGION),
            GreaterUnit("V10", "10 kV", UnitKind.VOLTAGE_LEVEL),
            GreaterUnit("T1", "Transformer 1", UnitKind.ELEMENT, gateway="rtu", substation="S"),
        ),
        parents=(
            UnitParent("F1", "R1"),
            UnitParent("F2", "R1"),
            UnitParent("F1", "V10"),
            UnitParent("F1", "T1"),
        ),
        organisations=(
            Organisation("south", "South county", OrganisationKind.UNIT),
            Organisation("south-ops", "Operations", OrganisationKind.DEPARTMENT, "south"),
            Organisation("crew-3", "Crew 3", OrganisationKind.CREW, "south-ops"),
        ),
        persons=(Person("p17", "area manager", "Li"),),
        responsibilities=(
            Responsibility("A1", Duty.MARKETING, person="p17"),
            Responsibility("A1", Duty.OPERATION, organisation="crew-3"),
        ),
    )


def apply(connection: Connection, **change: Any) -> AppliedChange:
    plain = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in change.items()}
    return apply_change(connection, read_change(json.dumps(plain).encode()))


def orders(connection: Connection) -> dict[str, tuple[Any, Any]]:
    """Orders of the newest change: unit → from, to."""
    rows = connection.execute(
        "select payload from grid.outbox where type = 'unit.resettle'"
        " and recorded_at = (select max(recorded_at) from grid.outbox)"
    )
    return {row[0]["unit"]: (row[0]["from"], row[0]["to"]) for row in rows}


def memberships(connection: Connection, unit: str, meter: str, known_at: datetime | None = None) -> list[Membership]:
    view = load_views(connection, [unit], known_at)[unit]
    return sorted((m for m in view.members if m.meter == meter), key=lambda m: m.valid_from_us)


def us(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000


class TestConstraints:
    @pytest.mark.parametrize(
        ("table", "constraint"),
        [
            ("unit_state", "unit_state_once"),
            ("account_state", "account_state_once"),
            ("meter_state", "meter_state_once"),
            ("installation", "installation_one_meter"),
            ("service", "service_one_account"),
            ("organisation_state", "organisation_state_once"),
            ("responsibility", "responsibility_once"),
            ("register_reading", "register_reading_once"),
            ("member", "member_one_at_a_time"),
        ],
    )
    def test_no_belief_overlaps_another(self, connection: Connection, table: str, constraint: str) -> None:
        load_grid(connection, whole_model())
        apply(
            connection,
            kind="meter_multiplier",
            meter="A1-m1",
            multiplier=2,
            valid_from=JUNE,
            registers={"import_wh": 5},
        )
        columns = connection.execute(
            "select column_name from information_schema.columns where table_schema = 'grid' and table_name = %s"
            " and column_name not in ('belief_id', 'valid')",
            [table],
        ).fetchall()
        names = sql.SQL(", ").join(sql.Identifier(name) for (name,) in columns)
        valid = sql.SQL("") if table == "register_reading" else sql.SQL(", valid")
        later = sql.SQL("") if table == "register_reading" else sql.SQL(", tstzrange('2026-06-15', null)")
        again = sql.SQL(
            "insert into {table} ({names}{valid}) select {names}{later} from {table} where upper_inf(recorded) limit 1"
        ).format(table=sql.Identifier("grid", table), names=names, valid=valid, later=later)
        with pytest.raises(psycopg.errors.ExclusionViolation, match=constraint):
            connection.execute(again)

    @pytest.mark.parametrize(
        ("statement", "constraint"),
        [
            (
                (
                    "insert into grid.member (unit_id, position, meter, role, valid)"
                    " select unit_id, 77, 'A1-m1', 2, '(,)' from grid.unit where code = 'A2'"
                ),
                "member_meter_once",
            ),
            (
                (
                    "insert into grid.member (unit_id, position, meter, role, valid)"
                    " select unit_id, 77, 'A1-master', 1, '(,)' from grid.unit where code = 'A1'"
                ),
                "member_meter_once",
            ),
            (
                (
                    "insert into grid.member (unit_id, position, child_id, role, valid)"
                    " select f.unit_id, 77, a.unit_id, 4, '(,)' from grid.unit f, grid.unit a"
                    " where f.code = 'F2' and a.code = 'A1'"
                ),
                "member_parent_once",
            ),
            (
                (
                    "insert into grid.installation (usage_point_id, meter_id, valid, recorded) select p.usage_point_id,"
                    " g.meter_id, '(,)', tstzrange(now(), null) from grid.usage_point p, grid.meter g"
                    " where p.code = 'A1-m1' and g.code = 'A1-m2'"
                ),
                "installation_one",
            ),
        ],
    )
    def test_nothing_is_in_two_places(self, connection: Connection, statement: str, constraint: str) -> None:
        load_grid(connection, small_model())
        with pytest.raises(psycopg.errors.ExclusionViolation, match=constraint):
            connection.execute(statement)

    def test_a_gateway_stands_between_two_units(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        connection.execute(
            "insert into grid.member (unit_id, position, meter, role, valid)"
            " select unit_id, 77, 'F1-head', 1, '(,)' from grid.unit where code = 'F2'"
        )

    def test_a_meters_number_and_code_belong_together(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute(
                "insert into grid.member (unit_id, position, meter, meter_id, role, valid) select unit_id, 77, 'A1-m1',"
                " (select max(meter_id) + 1 from grid.meter), 2, '(,)' from grid.unit where code = 'A2'"
            )


class TestReplacement:
    @pytest.fixture(autouse=True)
    def replaced(self, connection: Connection) -> AppliedChange:
        load_grid(connection, small_model())
        return self.replace(connection)

    def replace(self, connection: Connection) -> AppliedChange:
        return apply(
            connection,
            kind="meter_replace",
            meter="A1-m1",
            new_meter="A1-m1b",
            valid_from=JUNE,
            removed={"import_wh": 99_500, "export_wh": 7},
            installed={"import_wh": 12},
            multiplier=5,
            accuracy_class=0.5,
            register_modulus_wh=1_000_000,
        )

    def test_both_meters_are_members_with_their_registers(self, connection: Connection) -> None:
        (old,), (new,) = memberships(connection, "A1", "A1-m1"), memberships(connection, "A1", "A1-m1b")
        assert (old.position, old.multiplier, old.valid_to_us, old.end_import_wh, old.end_export_wh) == (
            1,
            1,
            us(JUNE),
            99_500,
            7,
        )
        assert (old.start_import_wh, old.register_modulus_wh) == (None, None)
        assert new == Membership(
            position=3,
            meter="A1-m1b",
            child_id=None,
            role=2,
            multiplier=5,
            accuracy_class=0.5,
            valid_from_us=us(JUNE),
            valid_to_us=END_US,
            start_import_wh=12,
            register_modulus_wh=1_000_000,
        )

    def test_it_is_told_and_settled_again(self, connection: Connection, replaced: AppliedChange) -> None:
        assert (replaced.units, replaced.resettled) == (("A1",), ("A1",))
        assert orders(connection) == {"A1": ("2026-06-01T00:00:00Z", None)}

    def test_the_account_follows(self, connection: Connection) -> None:
        assert (read_meter(connection, "A1-m1b") or {})["account"] == "A1-account1"
        assert (read_meter(connection, "A1-m1") or {})["account"] is None
        assert (read_meter(connection, "A1-m1", at=JUNE - timedelta(days=1)) or {})["account"] == "A1-account1"
        (place,) = (read_account(connection, "A1-account1") or {})["served_at"]
        assert place == {"usage_point": "A1-m1", "meter": "A1-m1b", "unit": "A1", "multiplier": 5}
        present = connection.execute("select code, account from grid.meter where code like 'A1-m1%' order by 1")
        assert present.fetchall() == [("A1-m1", None), ("A1-m1b", "A1-account1")]

    def test_the_same_again_changes_nothing(self, connection: Connection) -> None:
        assert self.replace(connection).outbox_id is None

    def test_it_contradicts_what_is_known(self, connection: Connection) -> None:
        with pytest.raises(MeterNotInstalledError):
            apply(connection, kind="meter_replace", meter="A1-m1", new_meter="A1-m1c", valid_from=JULY)
        with pytest.raises(ContradictionError, match="stands elsewhere"):
            apply(connection, kind="meter_replace", meter="A2-m1", new_meter="A1-m2", valid_from=JULY)
        with pytest.raises(InvalidChangeError, match="usable code"):
            apply(connection, kind="meter_replace", meter="A2-m1", new_meter="a/b", valid_from=JULY)

    def test_registers_that_come_later_are_news(self, connection: Connection) -> None:
        later = apply(
            connection,
            kind="meter_replace",
            meter="A1-m1",
            new_meter="A1-m1b",
            valid_from=JUNE,
            installed={"export_wh": 3},
        )
        assert later.resettled == ("A1",)
        (new,) = memberships(connection, "A1", "A1-m1b")
        assert (new.start_import_wh, new.start_export_wh) == (12, 3)
        (before,) = memberships(connection, "A1", "A1-m1b", (later.recorded_at or JUNE) - timedelta(microseconds=1))
        assert before.start_export_wh is None


class TestMove:
    def test_in_retrospect(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        moved = apply(
            connection, kind="meter_move", meter="A1-m1", unit="A2", valid_from=JUNE, registers={"import_wh": 40}
        )
        assert moved.resettled == ("A1", "A2")
        (left,), (come,) = memberships(connection, "A1", "A1-m1"), memberships(connection, "A2", "A1-m1")
        assert (left.valid_to_us, left.end_import_wh) == (us(JUNE), 40)
        assert (come.position, come.valid_from_us, come.start_import_wh) == (3, us(JUNE), 40)
        assert moved.recorded_at is not None
        known = moved.recorded_at - timedelta(microseconds=1)
        assert memberships(connection, "A2", "A1-m1", known) == []
        assert [m.valid_to_us for m in memberships(connection, "A1", "A1-m1", known)] == [END_US]
        back = apply(connection, kind="meter_move", meter="A1-m1", unit="A1", valid_from=JULY)
        assert back.resettled == ("A1", "A2")
        assert [m.position for m in memberships(connection, "A1", "A1-m1")] == [1, 1]

    def test_of_a_gateway_concerns_the_units_above(self, connection: Connection) -> None:
        load_grid(connection, small_model(A2="F2"))
        moved = apply(connection, kind="meter_move", meter="A1-master", unit="A2", valid_from=JUNE)
        assert moved.units == ("A1", "A2")
        assert moved.resettled == ("A1", "A2", "F1", "F2")


class TestParents:
    def test_a_unit_changes_its_feeder_and_keeps_its_region(self, connection: Connection) -> None:
        load_grid(connection, whole_model())
        moved = apply(connection, kind="unit_parent", unit="A1", parent="F2", valid_from=JUNE)
        assert moved.units == moved.resettled == ("A1", "F1", "F2")
        until = apply(connection, kind="unit_parent", unit="A1", parent=None, parent_kind="feeder", valid_from=JULY)
        assert orders(connection) == {
            "A1": ("2026-07-01T00:00:00Z", None),
            "F2": ("2026-07-01T00:00:00Z", None),
        }
        held = load_views(connection, ["A1"])["A1"].parents
        assert sorted((p.parent, p.valid_from_us, p.valid_to_us) for p in held) == [
            ("F1", us(BEGINNING), us(JUNE)),
            ("F2", us(JUNE), us(JULY)),
        ]
        assert until.recorded_at is not None
        apply(connection, kind="unit_parent", unit="F1", parent="R1", valid_from=JUNE)
        parents = {p["unit"]: p["kind"] for p in (read_unit(connection, "F1") or {})["parents"]}
        assert parents == {"R1": "region", "V10": "voltage_level", "T1": "element"}

    def test_no_unit_is_part_of_itself(self, connection: Connection) -> None:
        load_grid(connection, whole_model())
        with pytest.raises(ContradictionError, match="itself part"):
            apply(connection, kind="unit_parent", unit="R1", parent="F1", valid_from=JUNE)
        with pytest.raises(ContradictionError, match="no unit is part of it"):
            apply(connection, kind="unit_parent", unit="F1", parent="A1", valid_from=JUNE)

    def test_the_same_model_again_and_one_that_knows_no_region(self, connection: Connection) -> None:
        load_grid(connection, whole_model())
        assert not load_grid(connection, whole_model()).changed
        assert not load_grid(connection, small_model()).changed, "nothing is said of regions, levels and elements"


class TestAttributes:
    def test_an_account_closes_on_a_day(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        ahead = datetime.now(UTC) + timedelta(hours=1)
        closed = apply(connection, kind="account_status", account="A1-account1", status="closed", valid_from=ahead)
        assert (closed.units, closed.resettled) == (("A1",), ("A1",))
        assert (read_account(connection, "A1-account1") or {})["status"] == "active"
        assert (read_account(connection, "A1-account1", at=ahead) or {})["status"] == "closed"
        present = "select status from grid.account where code = 'A1-account1'"
        assert connection.execute(present).fetchone() == ("active",)
        assert refresh_present(connection, ahead + timedelta(seconds=1), since=ahead - timedelta(seconds=1)) == 1
        assert connection.execute(present).fetchone() == ("closed",)
        apply(connection, kind="account_contract", account="A1-account1", contract_w=9_000, valid_from=JUNE)
        history = (read_account(connection, "A1-account1") or {})["history"]
        assert [(row["contract_w"], row["status"]) for row in history] == [
            (8_000, "active"),
            (9_000, "active"),
            (9_000, "closed"),
        ]

    def test_names_as_they_were(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        named = apply(connection, kind="unit_name", unit="A1", name="New", valid_from=JUNE)
        assert (read_unit(connection, "A1") or {})["name"] == "New"
        assert (read_unit(connection, "A1", at=JUNE - timedelta(days=1)) or {})["name"] == "Area A1"
        assert named.recorded_at is not None
        known = named.recorded_at - timedelta(microseconds=1)
        assert (read_unit(connection, "A1", known_at=known) or {})["name"] == "Area A1"
        assert read_entities(connection, "A1", known_at=JUNE - timedelta(days=10_000)) == []

    def test_a_class_keeps_the_position_and_cuts_the_period(self, connection: Connection) -> None:
        load_grid(connection, small_model())
        changed = apply(connection, kind="meter_class", meter="A1-master", accuracy_class=0.2, valid_from=JUNE)
        assert changed.resettled == ("A1", "F1")
        parts = memberships(connection, "A1", "A1-master")
        assert [(m.position, round(m.accuracy_class, 6), m.valid_from_us == us(JUNE)) for m in parts] == [
            (0, 0.5, False),
            (0, 0.2, True),
        ]
        feeder = load_views(connection, ["F1"])["F1"]
        child = [round(m.accuracy_class, 6) for m in feeder.members if m.child_id is not None and m.position == 1]
        assert child == [0.5, 0.2]

    def test_who_answers(self, connection: Connection) -> None:
        load_grid(connection, whole_model())
        apply(connection, kind="responsibility", unit="A1", duty="marketing", organisation="crew-3", valid_from=JULY)
        before = (read_unit(connection, "A1", at=JUNE) or {})["responsible"]
        assert [(row["duty"], row["person"], row["organisation_name"]) for row in before] == [
            ("operation", None, "Crew 3"),
            ("marketing", "p17", None),
        ]
        apply(connection, kind="responsibility", unit="A1", duty="marketing", valid_from=JULY + timedelta(days=9))
        after = (read_unit(connection, "A1", at=JULY + timedelta(days=10)) or {})["responsible"]
        assert [row["duty"] for row in after] == ["operation"]
        with pytest.raises(UnknownOrganisationError):
            apply(connection, kind="responsibility", unit="A1", duty="marketing", person="nobody")
