"""What a utility's work does to the model, end to end: each scenario through changes, with its bitemporal record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from grid.document import MODEL_KINDS, Document, Key
from grid.network import SwitchPosition
from store.connection import Connection, connect
from store.sync_documents import pages_of, read_documents
from store.topology import apply_switch_position
from sync.change import (
    AppliedChange,
    ChangeError,
    ContradictionError,
    MeterNotInstalledError,
    UnknownAccountError,
    apply_change,
    read_change,
)
from sync.delivery import keys_of
from sync.load import load_grid
from tests.small_grid import small_model

JULY = "2026-07-01T00:00:00Z"
AUGUST = "2026-08-01T00:00:00Z"


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, small_model())
        yield opened


def change(connection: Connection, **said: Any) -> AppliedChange:
    """Make a change; see that the same again changes nothing, and that targets are sent each document it changed."""
    wanted = read_change(json.dumps(said).encode())
    before = connection.execute("select max(id) from grid.outbox").fetchone()
    held = documents(connection)
    applied = apply_change(connection, wanted)
    assert applied.outbox_id is not None
    assert before is not None
    assert applied.outbox_id > before[0]
    told = connection.execute(
        "select aggregatetype, aggregateid, type, payload from grid.outbox where id = %s", [applied.outbox_id]
    ).fetchone()
    assert told is not None
    keys, loaded = keys_of({"data": dict(zip(("aggregatetype", "aggregateid", "type", "payload"), told, strict=True))})
    now = documents(connection)
    assert {key for key in {**held, **now} if held.get(key) != now.get(key)} <= set(keys)
    assert not loaded
    assert apply_change(connection, wanted).outbox_id is None
    return applied


def documents(connection: Connection) -> dict[Key, dict[str, Any]]:
    """All that targets hold of the model."""
    return {
        each.key: dict(each.body) for kind in MODEL_KINDS for page in pages_of(connection, kind, 1_000) for each in page
    }


def refuses(connection: Connection, error: type[ChangeError], match: str, **said: Any) -> None:
    rows = connection.execute("select count(*) from grid.outbox").fetchone()
    with pytest.raises(error, match=match):
        apply_change(connection, read_change(json.dumps(said).encode()))
    assert connection.execute("select count(*) from grid.outbox").fetchone() == rows


def document(connection: Connection, kind: str, code: str) -> dict[str, Any]:
    found = read_documents(connection, [Key(kind, code)])
    return dict(found[Key(kind, code)].body)


def roster(connection: Connection, unit: str, at: str) -> list[str]:
    return [
        row[0] or row[1]
        for row in connection.execute(
            "select m.meter, c.code from grid.member m join grid.unit u using (unit_id)"
            " left join grid.unit c on c.unit_id = m.child_id"
            " where u.code = %s and upper_inf(m.recorded) and m.valid @> %s::timestamptz order by position",
            [unit, at],
        )
    ]


def new_area(connection: Connection, unit: str = "A3", **more: Any) -> AppliedChange:
    said = {"unit_kind": "area", "name": "New yard", "gateway": "headend", "parent": "F1", "rating_va": 315_000}
    return change(connection, kind="unit_new", unit=unit, valid_from=JULY, **{**said, **more})


def test_a_new_line_with_its_substation_segments_and_switch(connection: Connection) -> None:
    change(connection, kind="substation_new", substation="N", name="North", high_voltage_v=110_000,
           medium_voltage_v=20_000)  # fmt: skip
    change(connection, kind="switch_new", switch="N-breaker", switch_kind="breaker", from_node="N-bus",
           to_node="N-1", substation="N", valid_from=JULY)  # fmt: skip
    change(connection, kind="unit_new", unit="F3", unit_kind="feeder", name="Third", gateway="rtu", substation="N",
           node="N-1", breaker="N-breaker", valid_from=JULY)  # fmt: skip
    applied = change(connection, kind="segment_new", segment="N-line1", from_node="N-1", to_node="N-2", substation="N",
                     length_m=800, resistance_ohm=0.2, reactance_ohm=0.3, valid_from=JULY)  # fmt: skip
    assert applied.resettled == ("F3",)
    change(connection, kind="meter_install", meter="F3-head", unit="F3", role="gateway", multiplier=40,
           accuracy_class=0.2, valid_from=JULY)  # fmt: skip
    change(connection, kind="unit_parent", unit="A2", parent="F3", valid_from=AUGUST)
    change(connection, kind="unit_connection", unit="A2", node="N-2", valid_from=AUGUST)
    assert roster(connection, "F3", "2026-07-15T00:00:00Z") == ["F3-head"]
    assert roster(connection, "F3", "2026-08-15T00:00:00Z") == ["F3-head", "A2"]
    assert roster(connection, "F1", "2026-08-15T00:00:00Z") == ["F1-head", "A1"]
    line = document(connection, "segment", "N-line1")
    assert (line["length_m"], line["connections"][0]["to_node"]) == (800, "N-2")
    assert document(connection, "unit", "F3")["connections"][0]["breaker"] == "N-breaker"
    refuses(connection, ContradictionError, "no node", kind="segment_new", segment="x", from_node="N-1",
            to_node="nowhere", valid_from=JULY)  # fmt: skip
    refuses(connection, ContradictionError, "another", kind="unit_new", unit="F3", unit_kind="feeder", name="Other",
            gateway="rtu", substation="N", valid_from=JULY)  # fmt: skip


def test_a_cut_over_and_a_removed_line(connection: Connection) -> None:
    refuses(connection, ContradictionError, "members", kind="unit_end", unit="F1", valid_from=AUGUST, with_members=True)
    for area in ("A1", "A2"):
        change(connection, kind="unit_parent", unit=area, parent="F2", valid_from=JULY)
    applied = change(connection, kind="unit_end", unit="F1", valid_from=AUGUST, with_members=True)
    assert applied.resettled == ("F1",)
    assert roster(connection, "F1", "2026-06-15T00:00:00Z") == ["F1-head", "A1", "A2"]
    assert roster(connection, "F1", "2026-08-15T00:00:00Z") == []
    assert roster(connection, "F2", "2026-08-15T00:00:00Z") == ["F2-head", "A1", "A2"]
    assert document(connection, "unit", "F1")["states"][-1]["to"] == "2026-08-01T00:00:00+00:00"


def test_a_segment_is_replaced_and_a_switch_becomes_a_tie(connection: Connection) -> None:
    for name, nodes in (("line1", ("S-1", "S-2")), ("line2", ("S-2", "S-3"))):
        change(connection, kind="segment_new", segment=name, from_node=nodes[0], to_node=nodes[1], substation="S",
               valid_from=JULY)  # fmt: skip
    change(connection, kind="switch_new", switch="sw", switch_kind="load_break", from_node="S-3", to_node="S-4",
           substation="S", valid_from=JULY)  # fmt: skip
    assert change(connection, kind="equipment_end", equipment="segment", code="line1", valid_from=AUGUST).resettled
    change(connection, kind="segment_new", segment="line1b", from_node="S-1", to_node="S-2", length_m=50,
           valid_from=AUGUST)  # fmt: skip
    assert document(connection, "segment", "line1")["connections"][0]["to"] == "2026-08-01T00:00:00+00:00"
    change(connection, kind="switch_normal", switch="sw", normal="open")
    assert document(connection, "switch", "sw")["normal"] == "open"
    apply_switch_position(connection, "sw", SwitchPosition.CLOSED, datetime(2026, 7, 20, tzinfo=UTC))
    change(connection, kind="equipment_end", equipment="switch", code="sw", valid_from=AUGUST)
    refuses(connection, ContradictionError, "no segment", kind="equipment_end", equipment="segment", code="none",
            valid_from=JULY)  # fmt: skip


def test_a_public_transformer_added_changed_and_removed(connection: Connection) -> None:
    applied = new_area(connection)
    assert applied.resettled == ("F1",)
    change(connection, kind="meter_install", meter="A3-master", unit="A3", role="gateway", multiplier=60,
           accuracy_class=0.5, ct_class=0.5, valid_from=JULY)  # fmt: skip
    assert roster(connection, "F1", "2026-07-15T00:00:00Z") == ["F1-head", "A1", "A2", "A3"]
    applied = change(connection, kind="unit_rating", unit="A3", rating_va=630_000, no_load_loss_w=900.5,
                     valid_from=AUGUST)  # fmt: skip
    assert applied.resettled == ("A3", "F1")
    states = document(connection, "unit", "A3")["states"]
    assert [(s["rating_va"], s["no_load_loss_w"], s["load_loss_w"]) for s in states] == [
        (315_000, 0, 0), (630_000, 900.5, 0),
    ]  # fmt: skip
    refuses(connection, ContradictionError, "nothing is known", kind="unit_rating", unit="A3", rating_va=1,
            valid_from="2026-06-01T00:00:00Z")  # fmt: skip
    end = "2026-09-01T00:00:00Z"
    refuses(connection, ContradictionError, "1 members", kind="unit_end", unit="A3", valid_from=end)
    change(connection, kind="unit_end", unit="A3", valid_from=end, with_members=True)
    assert roster(connection, "F1", "2026-09-15T00:00:00Z") == ["F1-head", "A1", "A2"]
    assert roster(connection, "A3", "2026-08-15T00:00:00Z") == ["A3-master"]


@pytest.mark.parametrize("level", ["low", "high"])
def test_a_service_opened_changed_and_closed(connection: Connection, level: str) -> None:
    """Low voltage: one more meter of an area. High voltage: a dedicated customer with a transformer of its own."""
    account, meter = "new-account", "new-meter"
    change(connection, kind="account_new", account=account, tariff_class="industry", contract_w=50_000, valid_from=JULY)
    unit, role = "A1", "customer"
    if level == "high":
        unit, role = "D1", "gateway_customer"
        new_area(connection, unit, unit_kind="dedicated", metered_side="low", owner="customer")
    install = {"kind": "meter_install", "meter": meter, "unit": unit, "role": role, "account": account,
               "usage_point": "point-7", "multiplier": 30, "valid_from": JULY}  # fmt: skip
    applied = change(connection, **install, registers={"import_wh": 0})
    assert unit in applied.resettled
    body = document(connection, "meter", meter)
    assert (body["members"][0]["unit"], body["accounts"][0]["account"]) == (unit, account)
    assert connection.execute("select account from grid.meter where code = %s", [meter]).fetchone() in (
        (account,), (None,),
    )  # fmt: skip
    refuses(connection, ContradictionError, "stands elsewhere", **{**install, "unit": "A2"})
    refuses(connection, UnknownAccountError, "nobody", **{**install, "meter": "m9", "account": "nobody"})
    refuses(connection, ContradictionError, "taken", **{**install, "meter": "m9"})
    change(connection, kind="account_contract", account=account, contract_w=80_000, valid_from=AUGUST)
    change(connection, kind="meter_replace", meter=meter, new_meter="newer-meter", valid_from="2026-08-10T00:00:00Z")
    end = "2026-09-01T00:00:00Z"
    change(connection, kind="meter_remove", meter="newer-meter", valid_from=end, registers={"import_wh": 99})
    change(connection, kind="account_status", account=account, status="closed", valid_from=end)
    if level == "high":
        change(connection, kind="unit_end", unit="D1", valid_from=end)
    assert "newer-meter" not in roster(connection, unit, "2026-09-15T00:00:00Z")
    assert "newer-meter" in roster(connection, unit, "2026-08-15T00:00:00Z")
    assert document(connection, "meter", "newer-meter")["accounts"][-1]["to"] == "2026-09-01T00:00:00+00:00"
    states = document(connection, "account", account)["states"]
    assert [(s["contract_w"], s["status"]) for s in states] == [
        (50_000, "active"), (80_000, "active"), (80_000, "closed"),
    ]  # fmt: skip
    refuses(connection, MeterNotInstalledError, "not a member", kind="meter_remove", meter="newer-meter",
            valid_from="2026-10-01T00:00:00Z")  # fmt: skip


def test_what_was_known_before_stays_known(connection: Connection) -> None:
    """Removed in retrospect: as believed before the change, the meter still stood there."""
    july = datetime(2026, 7, 15, tzinfo=UTC)
    row = connection.execute("select clock_timestamp()").fetchone()
    assert row is not None
    change(connection, kind="meter_remove", meter="A1-m1", valid_from=JULY)
    query = "select count(*) from grid.member where meter = 'A1-m1' and recorded @> %s and valid @> %s"
    assert connection.execute(query, [row[0], july]).fetchone() == (1,)
    assert connection.execute(query, [datetime(2100, 1, 1, tzinfo=UTC), july]).fetchone() == (0,)


def test_every_kind_of_entity_pages(connection: Connection) -> None:
    found: list[Document] = [d for page in pages_of(connection, "meter", 3) for d in page]
    assert [d.key.code for d in found] == sorted(d.key.code for d in found)
    assert len(found) == 8
