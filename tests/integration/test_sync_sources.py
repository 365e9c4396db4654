"""From extracts to a changed grid model and back: taken, matched, compared, proposed, approved, undone."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from console.api.tokens import hash_of
from meterline.city import make_city
from meterline.cli import app
from meterline.config import Settings
from meterline.score.conflicts import ConflictScore, StoredConflict, rows_found, score_conflicts
from store.connection import Connection, connect
from store.sync_conflicts import list_conflicts, read_found, read_rates
from store.sync_identity import DecisionError, decide_merge, decide_split, read_crosswalk, undo_decision
from store.sync_proposals import find_to_propose, read_proposal
from store.sync_records import Origin, TakeCounts
from sync.change import apply_change, read_change
from sync.load import load_grid
from sync.mapping import SourceMapping, parse_mapping
from sync.match import MatchReport, match
from sync.proposals.lifecycle import Action, RefusedActionError, ReviewRules
from sync.proposals.review import propose, review
from sync.sources.contract import SourceError
from sync.sources.postgres_table import TableSource, read_table
from sync.take import TakeRules, find_files, take_file, take_records
from tests.integration.conftest import Database
from twin.city import City
from twin.sources.faults import FaultPlan
from twin.sources.headend import write_headend
from twin.sources.write import SourceTruth, write_sources
from twin.truth_files import Inconsistency

DAY = date(2026, 6, 1)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SINCE = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def city() -> City:
    return make_city("demonstration", areas=12, seed=5, events="none")


@pytest.fixture(scope="module")
def mapping() -> SourceMapping:
    return parse_mapping((files("sync") / "default_mapping.toml").read_text("utf-8"))


def extracts(city: City, folder: Path, rate: float) -> SourceTruth:
    truth = write_sources(city.network, city.recorded, folder, 5, FaultPlan.of(rate))
    write_headend(truth, folder)
    return truth


@pytest.fixture
def connection(database: Database, city: City) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, city.recorded)
        yield opened


def take_all(connection: Connection, folder: Path, mapping: SourceMapping, at: datetime = NOW) -> list[TakeCounts]:
    return [
        take_file(connection, file, system.name, TakeRules(withheld=mapping.withheld(system.name)), at)
        for system in sorted(folder.iterdir())
        for file in find_files(system)
    ]


def matched(connection: Connection, mapping: SourceMapping, at: datetime = NOW) -> MatchReport:
    return match(connection, mapping, DAY, at)


def score(connection: Connection, truth: SourceTruth) -> ConflictScore:
    inconsistencies = [Inconsistency(*map(str, injection)) for injection in truth.injections]
    references = {(r.system, r.table, r.key): r.code for r in truth.references}
    stored = []
    for kind, system, table, key, records in read_found(connection):
        said = [place.partition("/") for place in records if "/" in place]
        places = tuple((*title.split(".", 1), of) for title, _, of in said)
        stored.append(StoredConflict(kind, system, table, key, places))  # type: ignore[arg-type]
    return score_conflicts(inconsistencies, rows_found(stored, inconsistencies, references))


def test_clean_extracts_are_the_grid_and_contradict_nothing(
    connection: Connection, city: City, mapping: SourceMapping, tmp_path: Path
) -> None:
    extracts(city, tmp_path, 0.0)
    counts = take_all(connection, tmp_path, mapping)
    assert all(c.added == c.records for c in counts)
    report = matched(connection, mapping)
    assert (report.conflicts.found, report.unsure) == (0, 0)
    known: dict[str, int] = dict(
        connection.execute("select kind, count(*) from sync.entity where code is not null group by kind").fetchall()
    )
    model = city.recorded
    assert known["meter"] == len(model.meters)
    assert known["account"] == len(model.accounts)
    assert known["area"] == len(model.areas)
    assert known["feeder"] == len(model.feeders)
    rates = read_rates(connection, DAY, None, 1_000)
    assert rates
    assert all(rate["rate"] == 1.0 for rate in rates)
    # Names of customers are nowhere kept.
    kept = connection.execute("select body ->> 'customer_name' from sync.record where dataset = 'customers'").fetchall()
    assert kept
    assert not any(name.startswith("C") and len(name) == 11 for (name,) in kept)


def test_every_record_is_the_object_that_it_is(
    connection: Connection, city: City, mapping: SourceMapping, tmp_path: Path
) -> None:
    truth = extracts(city, tmp_path, 0.08)
    take_all(connection, tmp_path, mapping)
    matched(connection, mapping)
    codes = {(f"{r.system}.{r.table}", r.key): r.code for r in truth.references}
    of_entity: dict[int, set[str]] = {}
    for place, entity in read_crosswalk(connection).items():
        if place in codes and place[0] != "scada.points":
            of_entity.setdefault(entity, set()).add(codes[place])
    mixed = sum(len(found) > 1 for found in of_entity.values())
    assert mixed <= 0.001 * len(of_entity)


def test_what_was_put_in_is_found_and_closes_when_it_is_mended(
    connection: Connection, city: City, mapping: SourceMapping, tmp_path: Path
) -> None:
    truth = extracts(city, tmp_path / "faulty", 0.08)
    take_all(connection, tmp_path / "faulty", mapping)
    first = matched(connection, mapping)
    found = score(connection, truth)
    assert found.all.injected is not None
    assert found.all.injected > 60
    assert found.all.recall is not None
    assert found.all.recall >= 0.97, found.by_kind
    assert found.false is not None
    assert found.false <= 0.02 * found.all.injected
    # The same again changes nothing.
    assert all(counts.take_id is None for counts in take_all(connection, tmp_path / "faulty", mapping))
    again = matched(connection, mapping, NOW + timedelta(hours=1))
    assert (again.changed, again.conflicts.opened, again.conflicts.closed) == (0, 0, 0)
    # The sources are put right.
    extracts(city, tmp_path / "clean", 0.0)
    take_all(connection, tmp_path / "clean", mapping, NOW + timedelta(hours=2))
    last = matched(connection, mapping, NOW + timedelta(hours=3))
    assert (last.conflicts.found, last.conflicts.closed) == (0, first.conflicts.found)
    # And are broken again: the same conflicts, not new ones.
    take_all(connection, tmp_path / "faulty", mapping, NOW + timedelta(hours=4))
    matched(connection, mapping, NOW + timedelta(hours=5))
    stored = connection.execute("select count(*), count(closed_at) from sync.conflict").fetchone()
    assert stored == (first.conflicts.found, 0)


def wrong_meter(connection: Connection, city: City, mapping: SourceMapping, folder: Path) -> tuple[str, str, str, int]:
    """A meter that the model has in another area than all systems: code, true area, wrong area, conflict."""
    extracts(city, folder, 0.0)
    take_all(connection, folder, mapping)
    areas = [a.code for a in city.recorded.areas if a.kind == "area"]
    meter = next(m for m in city.recorded.meters if m.unit == areas[0] and m.account is not None)
    move = {"kind": "meter_move", "meter": meter.code, "unit": areas[1], "valid_from": SINCE.isoformat()}
    apply_change(connection, read_change(json.dumps(move).encode()))
    matched(connection, mapping)
    (conflict,) = list_conflicts(connection, None, None, None, None, False, 10)
    assert (conflict["kind"], conflict["system"], conflict["code"]) == ("relation_differs", "model", meter.code)
    assert (conflict["believed"], conflict["given"]) == (areas[0], areas[1])
    return meter.code, areas[0], areas[1], conflict["conflict_id"]


def unit_of(connection: Connection, meter: str) -> str:
    row = connection.execute(
        "select u.code from grid.member m join grid.unit u using (unit_id) "
        "where m.meter = %s and upper_inf(m.recorded) and m.valid @> now()",
        [meter],
    ).fetchone()
    assert row is not None
    return str(row[0])


def test_a_conflict_becomes_a_change_that_four_eyes_approve_and_that_is_told(
    connection: Connection, city: City, mapping: SourceMapping, tmp_path: Path
) -> None:
    meter, right, wrong, conflict = wrong_meter(connection, city, mapping, tmp_path)
    (proposed,) = propose(connection, [conflict], "wang", "all say so", ReviewRules(), NOW, SINCE)
    assert proposed.target == "model"
    number = proposed.proposal_id
    assert number is not None
    (twice,) = propose(connection, [conflict], "li", "again", ReviewRules(), NOW, SINCE)
    assert twice.proposal_id is None
    with pytest.raises(RefusedActionError, match="proposed it"):
        review(connection, number, Action.APPROVE, "wang", "marketing", None, NOW)
    assert review(connection, number, Action.APPROVE, "zhao", "marketing", None, NOW).state == "open"
    assert unit_of(connection, meter) == wrong
    before = connection.execute("select coalesce(max(id), 0) from grid.outbox").fetchone()
    done = review(connection, number, Action.APPROVE, "li", "operation", None, NOW)
    assert (done.state, set(done.units)) == ("applied", {right, wrong})
    assert unit_of(connection, meter) == right
    told = connection.execute(
        "select type, payload ->> 'unit_after' from grid.outbox where id > %s and aggregatetype = 'meter'", before
    ).fetchall()
    assert told == [("meter.move", right)]
    orders = connection.execute(
        "select count(*) from grid.outbox where id > %s and aggregatetype = 'resettle'", before
    ).fetchone()
    assert orders is not None
    assert orders[0] >= 2
    assert matched(connection, mapping, NOW + timedelta(hours=1)).conflicts.closed == 1
    with pytest.raises(RefusedActionError, match="reason"):
        review(connection, number, Action.UNDO, "li", "operation", None, NOW)
    review(connection, number, Action.UNDO, "li", "operation", "the other was right", NOW)
    assert unit_of(connection, meter) == wrong
    shown = read_proposal(connection, number)
    assert shown is not None
    assert [e["action"] for e in shown["events"]] == ["approve", "approve", "undo"]


def test_what_is_refused_is_not_proposed_again_and_a_correction_is_asked_of_its_system(
    connection: Connection, city: City, mapping: SourceMapping, tmp_path: Path
) -> None:
    extracts(city, tmp_path, 0.05)
    take_all(connection, tmp_path, mapping)
    matched(connection, mapping)
    ids = find_to_propose(connection, None, "gis", 0.9, 5)
    proposed = propose(connection, ids, "wang", "rules", ReviewRules(), NOW)
    assert {each.target for each in proposed} == {"gis"}
    numbers = [each.proposal_id for each in proposed]
    assert all(number is not None for number in numbers)
    review(connection, numbers[0] or 0, Action.REJECT, "li", "operation", "as built", NOW)
    assert review(connection, numbers[1] or 0, Action.APPROVE, "li", "operation", None, NOW).state == "approved"
    assert not set(ids) & set(find_to_propose(connection, None, "gis", 0.9, 100_000))


def test_a_voltage_that_says_otherwise_and_a_value_that_once_was_so(
    connection: Connection, city: City, mapping: SourceMapping, tmp_path: Path
) -> None:
    truth = extracts(city, tmp_path, 0.0)
    take_all(connection, tmp_path, mapping)
    # Marketing has changed a capacity, and the model with it; GIS still says what it was.
    account = next(m.account for m in city.recorded.meters if m.account is not None)
    key = next(r.key for r in truth.references if (r.system, r.table, r.code) == ("marketing", "customers", account))
    path = tmp_path / "marketing" / "customers.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    row = next(row for row in rows if row["account_number"] == key)
    kva = float(row["contract_kva"]) + 7
    row["contract_kva"] = f"{kva:g}"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerows(rows)
    take_all(connection, tmp_path, mapping, NOW + timedelta(hours=1))
    contract = {"kind": "account_contract", "account": account, "contract_w": round(kva * 1000)}
    apply_change(connection, read_change(json.dumps({**contract, "valid_from": SINCE.isoformat()}).encode()))
    # And a voltage follows another transformer than the one on record.
    areas = [a.code for a in city.recorded.areas if a.kind == "area"]
    meter = next(m for m in city.recorded.meters if m.unit == areas[0] and m.account is not None)
    for code, area, confidence in ((meter.code, areas[1], 0.97), ("other", areas[1], 0.99)):
        connection.execute("insert into sync.measured_area values (%s, %s, %s, %s)", [code, area, confidence, NOW])
    matched(connection, mapping, NOW + timedelta(hours=2))
    found = {row["kind"]: row for row in list_conflicts(connection, None, None, None, None, False, 10)}
    assert set(found) == {"outdated", "impossible"}
    assert (found["outdated"]["system"], found["outdated"]["field"]) == ("gis", "contract_w")
    assert float(found["outdated"]["believed"]) == round(kva * 1000)
    impossible = found["impossible"]
    assert (impossible["code"], impossible["believed"], impossible["given"]) == (meter.code, areas[1], areas[0])
    ids = [impossible["conflict_id"], found["outdated"]["conflict_id"]]
    targets = {p.conflict_id: p.target for p in propose(connection, ids, "li", "seen", ReviewRules(), NOW, SINCE)}
    assert targets == dict(zip(ids, ("model", "gis"), strict=True))
    # What was measured long ago doesn't count any more.
    matched(connection, mapping, NOW + timedelta(days=60))
    kinds = {row["kind"] for row in list_conflicts(connection, None, None, None, None, False, 10)}
    assert kinds == {"outdated"}


def test_a_merge_and_a_split_stand_until_they_are_undone(
    connection: Connection, city: City, mapping: SourceMapping, tmp_path: Path
) -> None:
    extracts(city, tmp_path, 0.0)
    take_all(connection, tmp_path, mapping)
    matched(connection, mapping)
    before = read_crosswalk(connection)
    first, second = sorted(key for title, key in before if title == "gis.transformers")[:2]
    title = "gis.transformers"
    split = decide_split(connection, title, first, "li", "seen on site", NOW)
    assert split is not None
    matched(connection, mapping, NOW + timedelta(hours=1))
    apart = read_crosswalk(connection)[title, first]
    assert apart not in before.values()
    assert undo_decision(connection, split, "li", NOW + timedelta(hours=2))
    assert not undo_decision(connection, split, "li", NOW + timedelta(hours=2))
    assert read_crosswalk(connection) == before
    meter = next(entity for (of, _), entity in before.items() if of == "gis.meters")
    with pytest.raises(DecisionError, match="of kind area, and entity"):
        decide_merge(connection, title, first, meter, "li", "a mistake", NOW)
    merge = decide_merge(connection, title, first, before[title, second], "li", "one and the same", NOW)
    assert merge is not None
    with pytest.raises(DecisionError, match="undo it first"):
        decide_merge(connection, title, first, before[title, first], "li", "no", NOW)
    with pytest.raises(DecisionError, match="undo it first"):
        decide_split(connection, title, first, "li", "no", NOW)
    matched(connection, mapping, NOW + timedelta(hours=3))
    assert read_crosswalk(connection)[title, first] == before[title, second]
    assert undo_decision(connection, merge, "li", NOW + timedelta(hours=4))
    matched(connection, mapping, NOW + timedelta(hours=5))
    assert read_crosswalk(connection) == before


def test_a_broken_file_is_refused_whole_or_taken_in_part(connection: Connection, tmp_path: Path) -> None:
    file = tmp_path / "areas.csv"
    file.write_text("k,v\n1,a\n2\n1,b\n3,c\n")
    with pytest.raises(SourceError, match="line 3, column 2"):
        take_file(connection, file, "marketing", TakeRules(), NOW)
    assert connection.execute("select count(*) from sync.record").fetchone() == (0,)
    counts = take_file(connection, file, "marketing", TakeRules(in_part=True), NOW)
    assert (counts.added, counts.refused) == (2, 2)
    lines = connection.execute("select line, column_number from sync.refused order by line").fetchall()
    assert lines == [(2, None), (3, 2)]
    # What a line that can't be read was about isn't known: nothing has gone for being absent.
    file.write_text("k,v\n1,b\n3\n")
    part = take_file(connection, file, "marketing", TakeRules(in_part=True), NOW + timedelta(hours=1))
    assert (part.removed, part.refused) == (0, 1)
    file.write_text("k,v\n1,b\n")
    later = take_file(connection, file, "marketing", TakeRules(), NOW + timedelta(days=1))
    assert (later.added, later.changed, later.removed) == (0, 0, 1)
    history = connection.execute("select key, upper_inf(recorded) from sync.record order by key").fetchall()
    assert history == [("1", True), ("3", False)]
    # What the database can't keep of a line is listed even so.
    file.write_bytes(b"k,v\n1,b\n4,\0,x\n5,\0\n")
    spoilt = take_file(connection, file, "marketing", TakeRules(in_part=True), NOW + timedelta(days=2))
    assert (spoilt.records, spoilt.refused) == (1, 2)
    listed = connection.execute("select original from sync.refused where take_id = %s", [spoilt.take_id]).fetchall()
    assert sorted(listed) == [("4,?,x\n",), ("5,?\n",)]


def test_a_table_is_taken_whole_and_then_by_its_change_column(
    connection: Connection, database: Database, make_database: Callable[[], Database]
) -> None:
    other = make_database().conninfo("owner")
    with psycopg.connect(other, autocommit=True) as source:
        source.execute("create table areas (id int primary key, name text, kva numeric, changed timestamptz)")
        source.execute("insert into areas values (1, 'a', 400.0, '2026-01-01Z'), (2, 'b', 2.5, '2026-01-02Z')")
        table = TableSource("areas", "areas", "id")
        whole = Origin("pms", "areas", None, whole=True)
        with connection.transaction():
            counts = take_records(connection, read_table(other, table), whole, TakeRules(), NOW)
        assert counts.added == 2
        source.execute("update areas set name = 'c', changed = '2026-01-03Z' where id = 2")
        news = TableSource("areas", "areas", "id", "changed", "2026-01-02T00:00:00+00:00")
        with connection.transaction():
            counts = take_records(
                connection, read_table(other, news), Origin("pms", "areas", None, whole=False), TakeRules(), NOW
            )
        assert (counts.records, counts.added, counts.changed) == (1, 0, 1)
    with pytest.raises(SourceError, match=r"no column|does not exist"):
        list(read_table(other, TableSource("x", "nothing", "id")))
    body = connection.execute("select body from sync.record where key = '1'").fetchone()
    assert body is not None
    assert body[0]["kva"] == "400"


def test_commands_lead_from_extracts_to_a_rate(
    settings: Settings, config_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = make_city("1-LV-rural1--0-sw", seed=2, copy=4, events="none")
    with connect(settings.database.conninfo("app"), "test") as connection:
        load_grid(connection, small.recorded)
        connection.commit()
    truth = write_sources(small.network, small.recorded, tmp_path / "sources", 2, FaultPlan.of(0.3))
    write_headend(truth, tmp_path / "sources")
    shutil.rmtree(tmp_path / "sources" / "cim")
    run = CliRunner()

    def call(*arguments: str) -> object:
        done = run.invoke(app, ["sync", *arguments, "--config", str(config_path), "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    taken = call("take", str(tmp_path / "sources"))
    assert isinstance(taken, list)
    assert {row["system"] for row in taken} == {"gis", "headend", "marketing", "pms", "scada"}
    report = call("match")
    assert isinstance(report, dict)
    assert report["conflicts"]["found"] > 0
    listed = call("conflicts", "list", "--system", "gis")
    assert isinstance(listed, list)
    assert listed
    shown = call("conflicts", "show", str(listed[0]["conflict_id"]))
    assert isinstance(shown, dict)
    assert shown["said"]
    proposed = call("propose", str(listed[0]["conflict_id"]))
    assert isinstance(proposed, list)
    number = str(proposed[0]["proposal_id"])
    (tmp_path / "token").write_text("of-li\n")
    (tmp_path / "tokens.toml").write_text(
        f'[[tokens]]\nname = "li"\nsha256 = "{hash_of("of-li")}"\nroles = ["operation"]\n'
    )
    monkeypatch.setenv("METERLINE_CONSOLE__TOKENS_FILE", str(tmp_path / "tokens.toml"))
    reject = ("proposals", "reject", number, "--reason", "as built", "--department")
    token = ("--token-file", str(tmp_path / "token"))
    # Nobody acts as another whose token isn't there, nor for a department that isn't its own.
    for wrong, said in (
        ((*reject, "operation", "--by", "li"), "give their token"),
        ((*reject, "operation", "--by", "wang", *token), "you are li"),
        ((*reject, "metering", *token), "doesn't speak for metering"),
        ((*reject, "operation", "--token-file", str(tmp_path / "tokens.toml")), "no token that is known"),
    ):
        failed = run.invoke(app, ["sync", *wrong, "--config", str(config_path)])
        assert failed.exit_code != 0
        assert said in failed.output.replace("\n", " ")
    done = call(*reject, "operation", "--by", "li", *token)
    assert isinstance(done, dict)
    assert done["state"] == "refused"
    events = call("proposals", "show", number)
    assert isinstance(events, dict)
    assert [event["by_whom"] for event in events["events"]] == ["li"]
    refused = run.invoke(
        app, ["sync", "proposals", "approve", number, "--department", "operation", "--config", str(config_path)]
    )
    assert refused.exit_code == 1
    rates = call("rate")
    assert isinstance(rates, dict)
    assert {row["relation"] for row in rates["all"]} >= {"transformer_customer"}
    assert call("sources")
    assert call("proposals", "list", "--state", "refused")
    assert call("identity", "unsure") is not None
