from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.point_table import KnownPoint, PointTable, Reports
from grid.points import MINUTE_US, Point, PointBatch, PointCause, PointKind, decode_points, encode_points, point_rank
from streams.steps.point_rows import arrange, last_values, switch_changes
from streams.steps.stand_in import Touched, Window, due_windows, stand_ins
from tests.naive.integration import Report as PowerReport
from tests.naive.integration import integrate
from tests.naive.points import Message, Report, history, last, rank

QUARTER_US = 15 * MINUTE_US
TABLE = PointTable(
    [
        KnownPoint(11, 1, "rtu", Point("P", "F1", PointKind.ACTIVE_POWER, "W", cycle_s=120, meter="M")),
        KnownPoint(12, 1, "rtu", Point("Q", "F1", PointKind.REACTIVE_POWER, "var")),
        KnownPoint(13, 1, "rtu", Point("S", "F1", PointKind.SWITCH, switch="CB")),
    ]
)
#: The same with a value that is held for an hour, so that a few reports cover an interval.
PATIENT = PointTable([replace(k, point=replace(k.point, cycle_s=1_800)) for k in TABLE.known])
CODES = ("P", "Q", "S")

reports = st.builds(
    Report,
    point=st.integers(0, 2),
    observed_at_us=st.integers(0, 240).map(lambda n: 10 * QUARTER_US + n * 7_500_000),
    value=st.one_of(st.sampled_from([0.0, 1.0, math.nan]), st.floats(-1e6, 1e6)),
    quality=st.sampled_from([0, 0, 0, 1, 16, 32, 64, 128, 160]),
)
messages = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 9), st.lists(reports, min_size=1, max_size=5).map(tuple)), max_size=8
).map(lambda made: [Message(n, sequence, received, of) for n, (sequence, received, of) in enumerate(made)])


def batch(message: Message) -> PointBatch:
    made = PointBatch(
        unit="F1",
        gateway="rtu",
        received_at_us=message.received_at_us,
        sequence=message.sequence,
        cause=PointCause.CYCLIC,
        digest=message.digest,
        codes=pa.array([CODES[r.point] for r in message.reports], pa.string()),
        observed_at_us=np.array([r.observed_at_us for r in message.reports], np.int64),
        value=np.array([r.value for r in message.reports]) + 0.0,
        quality=np.array([r.quality for r in message.reports], np.uint8),
    )
    return decode_points(encode_points(made))


@settings(deadline=None)
@given(messages, st.data())
def test_rows_and_last_values_are_those_of_plain_python_in_any_order(sent: list[Message], data: st.DataObject) -> None:
    later = (
        [m._replace(received_at_us=m.received_at_us + 5) for m in data.draw(st.lists(st.sampled_from(sent)))]
        if sent
        else []
    )
    order = data.draw(st.permutations(sent + later))
    arranged = arrange([batch(m) for m in order], TABLE)
    rows = arranged.rows
    assert arranged.unknown == {}
    keys = list(zip(rows.minute_us.tolist(), rows.digest.tolist(), strict=True))
    assert len(set(keys)) == len(keys)
    found = {}
    for r, key in enumerate(keys):
        part = slice(int(rows.starts[r]), int(rows.starts[r + 1]))
        point, offset = rows.point_id[part], rows.offset_us[part]
        power = point[: rows.power_count[r]], point[rows.power_count[r] :]
        assert set(power[0].tolist()) <= {11}
        assert 11 not in power[1]
        assert rows.first_us[r] == offset.min()
        assert 0 <= offset.min() <= offset.max() < MINUTE_US
        of = zip(point.tolist(), offset.tolist(), rows.value[part].tolist(), rows.quality[part].tolist(), strict=True)
        found[key] = (int(rows.received_at_us[r]), sorted((p - 11, key[0] + o, repr(v), q) for p, o, v, q in of))
    normal = [m._replace(reports=tuple(r._replace(value=r.value + 0.0) for r in m.reports)) for m in order]
    assert found == history(normal)
    ends = arranged.last
    assert {
        int(ends.position[i]): (
            int(ends.observed_at_us[i]),
            repr(float(ends.value[i])),
            int(ends.quality[i]),
            int(ends.sequence[i]),
            int(ends.received_at_us[i]),
        )
        for i in range(len(ends))
    } == last(normal)
    # Nothing is left to settle among what stands.
    assert len(last_values(ends)) == len(ends)


def test_ranks_are_those_of_plain_python() -> None:
    assert point_rank(np.arange(256, dtype=np.uint8)).tolist() == [rank(q) for q in range(256)]


@settings(deadline=None)
@given(messages)
def test_a_stand_in_is_the_integral_of_plain_python(sent: list[Message]) -> None:
    arranged = arrange([batch(m) for m in sent], TABLE)
    windows = [Window(0, (11 + n) * QUARTER_US, 900) for n in range(2)]
    windows += [Window(0, 10 * QUARTER_US + n * MINUTE_US, 60) for n in range(1, 31)]
    made = {s.window: s for s in stand_ins(windows, {1: arranged.reports}, TABLE)}
    powers = [
        (r.observed_at_us, rank(r.quality), r.value + 0.0, r.quality, m.sequence)
        for m in sent
        for r in m.reports
        if r.point == 0
    ]
    powers.sort(key=lambda p: (p[0], p[1], math.isnan(p[2]), 0 if math.isnan(p[2]) else p[2], p[3], p[4]))
    for window in windows:
        begin = window.end_us - window.interval_s * 1_000_000
        told = [PowerReport(0, at, 0.0 if math.isnan(v) else v, k) for at, k, v, _, _ in powers if at < window.end_us]
        expected = integrate(begin, window.end_us, [0.0], [240_000_000], told)
        assert (window in made) == (expected.coverage == 1.0)
        if window in made:
            assert math.isclose(made[window].import_wh, expected.import_wh, rel_tol=1e-9, abs_tol=1e-6)
            assert math.isclose(made[window].export_wh, expected.export_wh, rel_tol=1e-9, abs_tol=1e-6)
            assert made[window].substituted == expected.substituted
            used = {(at, repr(v), q, s) for at, _, v, q, s in powers if begin - 240_000_000 <= at < window.end_us}
            assert made[window].reports == len(used)


@settings(deadline=None)
@given(messages)
def test_every_window_that_a_batch_could_change_is_due(sent: list[Message]) -> None:
    """Taken message by message, what is due each time is at least each closed window whose stand-in is another now."""
    stored: list[Message] = []
    known: dict[Window, tuple[float, float, int]] = {}
    windows = [Window(0, 10 * QUARTER_US + n * 5 * MINUTE_US, 300) for n in range(1, 7)]
    for message in sent:
        before = [r.observed_at_us for m in stored for r in m.reports]
        stored.append(message)
        arranged = arrange([batch(message)], PATIENT)
        newest = max(r.observed_at_us for m in stored for r in m.reports)
        touched = []
        for minute in sorted({int(m) for m in arranged.rows.minute_us}):
            first = min(
                r.observed_at_us for r in message.reports if r.observed_at_us // MINUTE_US == minute // MINUTE_US
            )
            everything = [*before, *(r.observed_at_us for r in message.reports)]
            earlier = [t for t in everything if t < first]
            prior = max(earlier, default=None)
            prior = None if prior is None or prior >= minute else prior // MINUTE_US * MINUTE_US
            touched.append(Touched(1, minute, newest, prior, 300))
        due = set(due_windows(touched, arranged.reports, PATIENT))
        closed = [w for w in windows if w.end_us <= newest]
        now = {
            s.window: (s.import_wh, s.export_wh, s.reports)
            for s in stand_ins(closed, {1: arrange([batch(m) for m in stored], PATIENT).reports}, PATIENT)
        }
        assert {w for w in now if now[w] != known.get(w)} <= due
        known = now


positions = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from([0.0, 1.0, 2.0]), st.sampled_from([0, 0, 64])), max_size=8
)


@given(
    positions, st.one_of(st.none(), st.tuples(st.integers(0, 9), st.sampled_from([0.0, 1.0]), st.sampled_from([0, 2])))
)
def test_switches_end_where_they_were_seen_last(
    seen: list[tuple[int, float, int]], before: tuple[int, float, int] | None
) -> None:
    made = Reports(
        np.full(len(seen), 2, np.int64),
        np.array([s[0] for s in seen], np.int64),
        np.array([s[1] for s in seen], np.float64),
        np.array([s[2] for s in seen], np.uint8),
        np.ones(len(seen), np.int64),
        np.ones(len(seen), np.int64),
    )
    changes = switch_changes(made, TABLE, {} if before is None else {13: before})
    good = sorted((at, value) for at, value, quality in seen if quality == 0 and value < 2)
    told = [(c.observed_at_us, float(c.closed)) for c in changes]
    assert set(told) <= set(good)
    assert told == sorted(told)
    # What isn't told was so already.
    held = before[1] if before is not None and before[2] == 2 and (not good or before[0] <= good[0][0]) else None
    left = list(told)
    for at, value in good:
        if left and left[0] == (at, value):
            held = left.pop(0)[1]
        assert held == value
