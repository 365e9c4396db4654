from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from meterline.cli_score import _lengths
from meterline.score.association import NOT_STORED, Accuracy, Conclusion, score_associations
from meterline.score.conflicts import NO_TRUTH, score_conflicts
from meterline.score.detection import NO_NAMES, Alert, Place, detect, is_in_time, place_of
from meterline.score.losses import StoredLosses, pair, summarize
from meterline.score.report import Score, Truth, UnitError, as_json, render
from meterline.score.reports import score_reports
from tests.truth_folder import ASSOCIATIONS
from twin.events import Event, EventKind
from twin.truth_files import Inconsistency

DAY = 86_400
INCONSISTENCIES = [
    Inconsistency("gis", "transformers", "T-1", "A1", "renamed", "name", "Mill", "Mil"),
    Inconsistency("pms", "meters", "7", "A1-m1", "missing", None, None, None),
    Inconsistency("pms", "meters", "8", "A1-m2", "missing", None, None, None),
]


def event(kind: EventKind, entity: str, begin_s: int = 0, end_s: int | None = None, other: str = "") -> Event:
    return Event(begin_s, 1, kind, entity, end_s, 1.0, other)


def alert(unit: str, opened_s: int, meter: str | None = None, number: int = 1) -> Alert:
    return Alert(number, "warning", unit, meter, opened_s, 1.0)


def test_a_point_is_seen_in_its_units_by_truth_and_records() -> None:
    units = {"P1": {"A1", "A2"}, "D1-meter": {"D1"}}
    assert place_of(event(EventKind.THEFT_BYPASS, "P1"), units, {}) == Place(
        frozenset({"P1", "P1-meter"}), frozenset({"A1", "A2", "P1"})
    )
    assert place_of(event(EventKind.METER_STOPPED, "D1"), units, {}).units == {"D1"}
    assert place_of(event(EventKind.RECORD_AREA, "P1", other="A9"), units, {}).units == {"A1", "A2", "A9", "P1"}
    assert place_of(event(EventKind.CUT_OVER, "F1", other="F2"), {}, {}).units == {"F1", "F2"}
    # The other of these is no unit.
    assert "A" not in place_of(event(EventKind.RECORD_PHASE, "P1", other="A"), units, {}).units
    served = place_of(event(EventKind.ACCOUNT_CLOSED, "account-P1"), units, {"account-P1": {"P1"}})
    assert served.units == {"A1", "A2", "account-P1"}
    assert place_of(event(EventKind.HOLIDAY, ""), {}, {}).everywhere


@pytest.mark.parametrize(
    ("end_s", "opened_s", "found"),
    [
        (None, 99 * DAY, True),
        (None, DAY - 1, False),
        (2 * DAY, DAY, True),
        (2 * DAY, 8 * DAY, True),  # ended, and not yet seven days after its begin
        (2 * DAY, 8 * DAY + 1, False),
        (20 * DAY, 20 * DAY, True),
        (20 * DAY, 20 * DAY + 1, False),
    ],
)
def test_in_time_is_while_it_lasts_or_within_seven_days(end_s: int | None, opened_s: int, found: bool) -> None:
    assert is_in_time(event(EventKind.THEFT_HOOK, "A1", DAY, end_s), opened_s) is found


def test_an_event_at_a_meter_is_found_in_its_area_alone_while_alerts_name_units() -> None:
    events = [event(EventKind.THEFT_BYPASS, "P1"), event(EventKind.THEFT_HOOK, "A2"), event(EventKind.VACANCY, "P3")]
    places = [place_of(e, {"P1": {"A1"}, "P3": {"A3"}}, {}) for e in events]
    alerts = [alert("A1", 3_600, number=1), alert("A3", DAY, number=2), alert("A9", 2 * DAY, number=3)]
    found = detect(events, places, alerts, 0, 10 * DAY, frozenset({"A1", "A2", "A3", "A9"}), 200, (1, 10))
    assert (found.area.recall.events, found.area.recall.found, found.area.recall.recall) == (2, 1, 0.5)
    assert found.area.recall.delay_median_s == 3_600
    assert (found.entity.recall.events, found.entity.recall.left_out, found.entity.recall.found) == (1, 1, 0)
    assert found.entity.by_kind["theft_bypass"].recall is None
    assert found.entity.by_kind["theft_bypass"].reason == NO_NAMES
    assert [(p.of, p.right, p.precision) for p in found.area.precision_at] == [(1, 1, 1.0), (3, 1, 1 / 3)]
    assert [p.reason for p in found.entity.precision_at] == [NO_NAMES, NO_NAMES]
    false = found.false_alarms
    assert (false.alarms, false.during_innocent, false.during_operation, false.unexplained) == (2, 1, 0, 1)
    assert false.per_1000_meter_days == 2 / (200 * 10) * 1_000
    assert false.by_kind == {"vacancy": {"events": 1, "alarmed": 1}}


def test_an_alert_that_names_another_meter_finds_the_area_only() -> None:
    events = [event(EventKind.THEFT_BYPASS, "P1"), event(EventKind.THEFT_HOOK, "A1")]
    places = [place_of(e, {"P1": {"A1"}}, {}) for e in events]
    known = frozenset({"A1"})
    named = detect(events, places, [alert("A1", 60, "P1")], 0, DAY, known, 1, names_meters=True)
    assert (named.entity.recall.found, named.area.recall.found) == (1, 2)
    other = detect(events, places, [alert("A1", 60, "P2")], 0, DAY, known, 1, names_meters=True)
    assert (other.entity.recall.found, other.area.recall.found) == (0, 2)


def test_events_before_the_span_explain_and_are_not_asked_for() -> None:
    events = [event(EventKind.THEFT_HOOK, "A1", -DAY)]
    found = detect(events, [place_of(events[0], {}, {})], [alert("A1", 60)], 0, DAY, frozenset({"A1"}), None)
    assert found.area.recall.recall is None
    assert found.area.recall.reason == "nothing to be found begins in the span"
    assert found.false_alarms.alarms == 0
    assert found.false_alarms.per_1000_meter_days is None
    assert found.area.precision_at[0].precision == 1.0


def test_the_gravest_and_greatest_rank_first() -> None:
    events = [event(EventKind.THEFT_HOOK, "A1")]
    alerts = [Alert(1, "warning", "A1", None, 5, 9.0), Alert(2, "critical", "A2", None, 9, 1.0)]
    found = detect(events, [place_of(events[0], {}, {})], alerts, 0, DAY, frozenset({"A1", "A2"}), 1, (1, 2))
    assert [p.right for p in found.area.precision_at] == [0, 1]


def test_errors_of_hand_made_intervals() -> None:
    ends = np.array([900, 1_800, 2_700, 3_600])
    zeros = np.zeros(4, np.int64)
    stored = StoredLosses(
        unit=np.array([0, 0, 0, 1]),
        end_s=np.array([2_700, 900, 1_800, 3_600]),
        interval_s=np.full(4, 900),
        loss_wh=np.array([70.0, 110.0, 500.0, 1.0]),
        sigma_wh=np.array([14.0, 5.0, 1.0, 1.0]),
        computable=np.array([True, True, False, True]),
    )
    pairs = pair(zeros, ends, np.full(4, 900), np.full(4, 100.0), np.array([1_000.0, 1_000, 1_000, 0]), stored)
    error = summarize(pairs)
    assert (error.intervals, error.stored, error.computable, error.completeness) == (4, 3, 2, 0.5)
    # Stored 110 and 70 against 100: errors 10 and −30.
    assert (error.mean_abs_wh, error.median_abs_wh) == (20, 20)
    assert error.p95_abs_wh == pytest.approx(29)
    assert (error.mean_abs_rate, error.bias_wh, error.bias_rate) == (0.02, -10, -0.01)
    # 10 ≤ 2 × 5 and 30 > 2 × 14.
    assert (error.band_intervals, error.band_coverage, error.reason) == (2, 0.5, None)


def test_without_anything_stored_there_is_a_reason_and_no_nought() -> None:
    none = np.empty(0)
    stored = StoredLosses(*(none.astype(np.int64),) * 3, none, none, none.astype(np.bool_))
    one = np.array([1])
    error = summarize(pair(one, one, one, np.array([5.0]), np.array([9.0]), stored))
    assert (error.completeness, error.mean_abs_wh, error.band_coverage) == (0.0, None, None)
    assert error.reason == "no result is stored of the same unit, end and length"


def test_associations_by_record_and_by_conclusion() -> None:
    only_records = score_associations(ASSOCIATIONS, None)
    assert asdict(only_records.unit) == asdict(Accuracy(4, 3, 0.75, None, None, None, None, None, NOT_STORED))
    assert (only_records.phase.meters, only_records.phase.recorded_right) == (3, 1)
    assert only_records.multiplier.recorded_accuracy == 0.75
    concluded = {"A1-m1": Conclusion("A2", "A"), "A1-m2": Conclusion("A1", "B", 1), "A2-m2": Conclusion(multiplier=40)}
    found = score_associations(ASSOCIATIONS, concluded)
    assert found.unit == Accuracy(4, 3, 0.75, 2, 1, 0.5, corrected=1, spoilt=1, reason=None)
    assert found.phase == Accuracy(3, 1, 1 / 3, 2, 2, 1.0, corrected=1, spoilt=0, reason=None)
    assert found.multiplier == Accuracy(4, 3, 0.75, 2, 2, 1.0, corrected=1, spoilt=0, reason=None)
    assert score_associations(None, concluded).unit.recorded_accuracy is None


def test_conflicts_by_row() -> None:
    assert score_conflicts(None, None).reason == NO_TRUTH
    unknown = score_conflicts(INCONSISTENCIES, None)
    assert (unknown.all.injected, unknown.all.found, unknown.all.recall, unknown.false) == (3, None, None, None)
    found = score_conflicts(INCONSISTENCIES, {("pms", "meters", "7"), ("pms", "meters", "9")})
    assert (found.all.found, found.all.recall, found.false) == (1, 1 / 3, 1)
    assert found.by_kind["missing"].recall == 0.5
    assert found.by_kind["renamed"].recall == 0


def a_score() -> Score:
    none = np.empty(0)
    stored = StoredLosses(*(none.astype(np.int64),) * 3, none, none, none.astype(np.bool_))
    one = np.array([1])
    empty = summarize(pair(one, one, one, np.array([5.0]), np.array([9.0]), stored))
    some = summarize(
        pair(one, one, one, np.array([5.0]), np.array([9.0]),
             StoredLosses(one, one, one, np.array([5.5]), np.array([1.0]), np.array([True])))
    )  # fmt: skip
    events = [event(EventKind.THEFT_HOOK, "A1"), event(EventKind.THEFT_NIGHT, "P1"), event(EventKind.VACANCY, "P1")]
    places = [place_of(e, {"P1": {"A2"}}, {}) for e in events]
    alerts = [alert("A1", 7_200), alert("A9", 60)]
    return Score(
        truth=Truth("small", 7, "2026-11-20T00:00:00Z", "2026-11-22T00:00:00Z", 900, 2, 4, 3),
        loss={"area": some, "unknown": empty},
        units=[UnitError("A1", "area", some), UnitError("[A2]", None, empty)],
        detection=detect(events, places, alerts, 0, 2 * DAY, frozenset({"A1", "A9"}), 4, (1,)),
        alerts_elsewhere=2,
        alerts_outside=0,
        device_events=score_reports(None, {}),
        association=score_associations(ASSOCIATIONS, None),
        conflicts=score_conflicts(INCONSISTENCIES, None),
    )


def test_json_has_numbers_or_null_with_a_reason() -> None:
    plain = json.loads(json.dumps(as_json(a_score()), allow_nan=False))
    assert list(plain) == ["truth", "loss", "detection", "device_events", "association", "conflicts"]
    assert plain["truth"]["from"] == "2026-11-20T00:00:00Z"
    assert plain["loss"]["kinds"]["area"]["mean_abs_wh"] == 0.5
    assert [u["unit"] for u in plain["loss"]["units"]] == ["A1", "[A2]"]
    assert plain["detection"]["area"]["by_kind"]["theft_night"]["found"] == 0

    def check(value: object, at: str) -> None:
        if isinstance(value, dict):
            if None in [v for k, v in value.items() if k not in {"reason", "kind", "delay_median_s", "delay_p90_s"}]:
                assert value.get("reason"), at
            for name, each in value.items():
                check(each, f"{at}.{name}")

    check(plain, "score")


def test_tables_show_the_figures() -> None:
    console = Console(width=150, record=True, force_terminal=False)
    with console.capture() as captured:
        console.print(render(a_score()))
    said = captured.get()
    lines = {line.split()[0]: line.split() for line in said.splitlines() if line.split()}
    assert "small, seed 7, 2026-11-20T00:00:00Z to 2026-11-22T00:00:00Z: 2 units, 4 meters, 3 events" in said
    assert lines["theft_hook"][1:] == ["1", "1", "100.0", "2.0", "2.0", "1", "1"]
    assert lines["theft_night"][1:] == ["1", "0", "0.0", "–", "–", "–", "0"]
    assert "no result is stored" in said
    assert "not judged: 2 alerts of other units" in said
    assert NOT_STORED in said


def test_lengths_of_lists() -> None:
    assert _lengths("50, 10,10") == (10, 50)
    for wrong in ("", "0", "a", "10,", "-1", "1.5"):
        with pytest.raises(SystemExit):
            _lengths(wrong)


def test_an_unfit_folder_is_said_before_the_database_is_asked(tmp_path: Path) -> None:
    from typer.testing import CliRunner  # noqa: PLC0415  # the whole command line, for this one test

    from meterline.cli import app  # noqa: PLC0415
    from meterline.failures import explain  # noqa: PLC0415

    ended = CliRunner().invoke(app, ["score", "--truth", str(tmp_path), "--database", "host=127.0.0.1 port=1"])
    assert isinstance(ended.exception, ValueError)
    assert "is no truth folder" in (explain(ended.exception) or "")
