"""What the twin's meters report of themselves: who, when, how much of it gets through, and what the truth says."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from grid.device_events import EVENT_KINDS
from ingest.decode_events import decode_events_message
from meterline.score.reports import NOT_TOLD, score_reports
from tests.naive.reports import naive_reports
from tests.unit.event_grid import effects, model, network
from tests.unit.test_city import BEGIN_S, HOUR_S, an_event, city
from tests.unit.test_effects import FROM, METER, POINT, UNTIL
from tests.unit.test_telemetry_points import AllKnown
from twin.city import City
from twin.city_play import CityPlay
from twin.delivery_faults import DeliveryFaults
from twin.device_events import DeviceEvents, ReportShares, Said
from twin.events import Event, EventKind
from twin.outbox import MessageKind
from twin.scenario import units_of
from twin.truth_reports import ReportRows, read_reports, write_reports

K = EventKind
ALL = ReportShares(**dict.fromkeys(ReportShares.__dataclass_fields__, 1.0))


def device_events(
    *events: Event, shares: ReportShares = ALL, faults: DeliveryFaults | None = None, seed: int = 1
) -> DeviceEvents:
    return DeviceEvents(
        events, effects(*events), np.arange(len(model().meters)), units_of(model()), begin_s=FROM - HOUR_S, seed=seed,
        shares=shares, faults=faults or DeliveryFaults.none(),
    )  # fmt: skip


def kinds(said: Said) -> list[str]:
    return [EVENT_KINDS[kind] for kind in said.kind.tolist()]


def test_meters_get_their_voltage_back_when_the_last_outage_over_them_ends() -> None:
    area = network().areas[0].code
    found = effects(
        Event(FROM, 1, K.OUTAGE, POINT, UNTIL, 1.0),
        Event(FROM + 60, 2, K.OUTAGE, area, UNTIL + 600, 1.0),
        Event(FROM + 90, 3, K.OUTAGE, area, UNTIL + 600, 1.0),
        Event(FROM + 120, 4, K.OUTAGE, network().areas[1].code, None, 1.0),
    )
    units = [i for i, m in enumerate(model().meters) if m.unit == area]
    assert METER in units
    (back,) = [turn for turn in found.restorations() if len(turn.meters)]
    # The point's own outage ends while the area's goes on; of two that end together one tells.
    assert (back.at_s, back.number, back.meters.tolist()) == (UNTIL + 600, 3, units)


def test_an_outage_is_told_by_the_share_of_meters_that_get_through() -> None:
    area = network().areas[0].code
    meters = [i for i, m in enumerate(model().meters) if m.unit == area]
    told = device_events(Event(FROM, 5, K.OUTAGE, area, UNTIL, 1.0))
    said = told.said
    assert Counter(kinds(said)) == {"last_gasp": len(meters), "power_restored": len(meters)}
    gasps = said.kind == EVENT_KINDS.index("last_gasp")
    assert sorted(said.meter[gasps].tolist()) == meters
    assert ((said.observed_us[gasps] > FROM * 1_000_000) & (said.observed_us[gasps] <= (FROM + 2) * 1_000_000)).all()
    assert (said.observed_us[~gasps] >= (UNTIL + 5) * 1_000_000).all()
    assert (said.sent_us > said.observed_us).all()
    assert set(said.number.tolist()) == {5}
    none = device_events(Event(FROM, 5, K.OUTAGE, area, UNTIL, 1.0), shares=ReportShares.none()).said
    assert len(none) == len(said)
    assert not none.sent_us.any()


@cache
def dark_city() -> City:
    grid = city(areas=30)
    outages = [
        Event(BEGIN_S + n * HOUR_S, n + 1, K.OUTAGE, area.code, BEGIN_S + n * HOUR_S + 1_800, 1.0)
        for n, area in enumerate(grid.network.areas[:20])
    ]
    return city(*outages, areas=30)


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_the_share_that_gets_through_is_what_was_asked_for(share: float) -> None:
    grid = dark_city()
    grid = City(replace(grid.plan, events=grid.events, reports=ReportShares(last_gasp=share)))
    said = CityPlay(grid).device_events.said
    gasps = said.kind == EVENT_KINDS.index("last_gasp")
    assert gasps.sum() > 1_000
    assert (said.sent_us[gasps] > 0).mean() == pytest.approx(share, abs=3 * (share * (1 - share) / gasps.sum()) ** 0.5)


def test_shares_are_shares() -> None:
    with pytest.raises(ValueError, match="last_gasp is a share"):
        ReportShares(last_gasp=1.2)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (K.THEFT_SCALING, ["cover_open", "cover_closed"]),
        (K.THEFT_NIGHT, ["cover_open", "cover_closed"]),
        (K.THEFT_BYPASS, ["cover_open", "cover_closed"]),
        (K.METER_STOPPED, ["magnetic_field"]),
        (K.PHASE_LOST, ["phase_missing"]),
        (K.CT_REVERSED, ["reverse_energy"]),
        (K.METER_REPLACED, ["cover_open", "cover_closed"]),
        (K.VACANCY, []),
        (K.CT_RATIO, []),
    ],
)
def test_what_a_meter_notices(kind: EventKind, expected: list[str]) -> None:
    other = "new-meter" if kind is K.METER_REPLACED else ""
    event = Event(FROM, 1, kind, POINT, None, 0.5, other)
    said = device_events(event).said
    order = np.argsort(said.observed_us)
    assert [kinds(said)[i] for i in order] == expected
    assert set(said.meter.tolist()) <= {METER}
    assert np.all(np.abs(said.observed_us - FROM * 1_000_000) <= 1_200_000_000)
    unnoticed = replace(ALL, cover=0, magnet=0, phase_missing=0, reverse_energy=0)
    assert len(device_events(event, shares=unnoticed).said) == (len(expected) if kind is K.METER_REPLACED else 0)
    # What was so from the start was reported before.
    assert kinds(device_events(replace(event, begin_s=FROM - HOUR_S)).said) == []


def test_some_of_the_thefts_are_told_and_the_seed_says_which() -> None:
    def told(seed: int) -> list[int]:
        points = [p.code for p in network().points if not p.generation][:60]
        thefts = [Event(FROM, n, K.THEFT_SCALING, point, None, 0.5) for n, point in enumerate(points)]
        return sorted(set(device_events(*thefts, shares=ReportShares(cover=0.5), seed=seed).said.number.tolist()))

    assert told(1) == told(1) != told(2)
    assert 0 < len(told(1)) < 60


def test_messages_are_such_as_ingest_takes_and_hold_what_the_truth_says(tmp_path: Path) -> None:
    area = city().network.areas[3].code
    point = next(p for p in city().network.points if p.area == 0 and not p.generation).code
    grid = city(
        an_event(K.OUTAGE, area, 1.0, (1, 2)),
        Event(BEGIN_S + HOUR_S, 2, K.METER_REPLACED, point, None, 1.0, "new-meter"),
        Event(BEGIN_S + 3 * HOUR_S - 10, 3, K.OUTAGE, city().network.areas[4].code, None, 1.0),
        Event(BEGIN_S + 5 * HOUR_S, 4, K.OUTAGE, city().network.areas[5].code, None, 1.0),
    )
    play = CityPlay(grid)
    made = [m for m in play.made(BEGIN_S, 12) if m.kind is MessageKind.EVENT]
    sent = Counter[tuple[str, str, str, int]]()
    for m in made:
        (at_us,) = m.send_at_us
        assert m.made_us <= at_us
        decoded = decode_events_message(m.topic, b'{"sequence":1,' + m.body, at_us, AllKnown())
        assert decoded.rejections == ()
        assert decoded.batch is not None
        batch = decoded.batch
        assert m.readings == len(batch)
        units = [batch.unit] * len(batch)
        sent.update(
            zip(units, batch.meters.to_pylist(), batch.kinds.to_pylist(), batch.observed_at_us.tolist(), strict=True)
        )
    assert set(sent.values()) == {1}
    assert {key[:3] for key in sent if key[1] in {point, "new-meter"}} == {
        (grid.network.areas[0].code, point, "cover_open"),
        (grid.network.areas[0].code, "new-meter", "cover_closed"),
    }
    said = play.device_events.said
    said_by = zip(said.meter.tolist(), said.observed_us.tolist(), strict=True)
    codes = [play.code(meter, at_us) for meter, at_us in said_by]
    count = write_reports(said, codes, [u.code for u in grid.units], BEGIN_S, BEGIN_S + 3 * HOUR_S, tmp_path)
    rows = read_reports(tmp_path)
    assert rows is not None
    keys = list(zip(rows.unit, rows.meter, rows.kind, rows.observed_us.tolist(), strict=True))
    assert len(keys) == count > len(sent)
    assert {key for key, at_us in zip(keys, rows.sent_us.tolist(), strict=True) if at_us} == set(sent)
    assert 4 not in rows.number.tolist()  # it comes later


def test_a_part_by_itself_says_what_it_says_within_the_whole() -> None:
    area = city().network.areas[3].code
    grid = city(an_event(K.OUTAGE, area, 1.0, (1, 2)))
    whole = [(m.made_us, m.body) for m in CityPlay(grid).made(BEGIN_S, 12) if m.kind is MessageKind.EVENT]
    later = BEGIN_S + 6 * 900
    part = [(m.made_us, m.body) for m in CityPlay(grid).made(later, 6) if m.kind is MessageKind.EVENT]
    assert part == whole[-len(part) :] != whole
    assert len(part) == 1
    body = json.loads(b"{" + part[0][1])
    assert set(body["kind"]) == {"power_restored"}
    assert datetime.fromisoformat(body["observed_at"][0]).timestamp() >= BEGIN_S + 2 * HOUR_S


def test_messages_get_lost_and_come_twice_as_others_do() -> None:
    outages = [Event(FROM + n, n, K.OUTAGE, POINT, FROM + n + 1, 1.0) for n in range(400)]
    faults = replace(DeliveryFaults.none(), lost_share=0.2, duplicate_share=0.3)
    told = device_events(*outages, faults=faults)
    sizes = Counter(len(m.send_at_us) for m in told.made(FROM, FROM + 10_000, lambda meter, _: f"M-{meter}"))
    assert sizes[0] == pytest.approx(160, abs=40)
    assert sizes[2] == pytest.approx(800 * 0.8 * 0.3, abs=50)
    assert (told.said.sent_us == 0).sum() == sizes[0]


def rows(*said: tuple[int, str, str, int, int]) -> ReportRows:
    columns = list(zip(*said, strict=True)) if said else [(), (), (), (), ()]
    number, meter, kind, observed, sent = columns
    return ReportRows(
        np.array(number, np.int64), ["A1"] * len(meter), list(meter), list(kind), np.array(observed, np.int64),
        np.array(sent, np.int64),
    )  # fmt: skip


def test_the_score_is_that_of_the_oracle() -> None:
    truth = rows(
        (1, "M-1", "last_gasp", 1_000_000, 3_000_000),
        (1, "M-2", "last_gasp", 1_500_000, 0),
        (1, "M-1", "power_restored", 90_000_000, 95_000_000),
        (2, "M-3", "last_gasp", 200_000_000, 0),
        (3, "M-4", "last_gasp", 300_000_000, 301_000_000),
        (4, "M-5", "cover_open", 5_000_000, 6_000_000),
    )
    stored = {
        ("A1", "M-1", "last_gasp", 1_000_000): 3_500_000,
        ("A1", "M-4", "last_gasp", 300_000_000): 310_000_000,
        ("A1", "M-5", "cover_open", 5_000_000): 7_000_000,
        ("A1", "M-9", "clock_fault", 5_000_000): 7_000_000,
    }
    score = score_reports(truth, stored)
    assert score.all is not None
    assert (score.all.said, score.all.sent, score.all.stored, score.all.unexpected) == (6, 4, 3, 1)
    assert (score.outages, score.known) == (3, 2)
    assert score.delay_median_s == pytest.approx(6.25)
    plain = list(zip(truth.number.tolist(), truth.unit, truth.meter, truth.kind, truth.observed_us.tolist(),
                     truth.sent_us.tolist(), strict=True))  # fmt: skip
    naive = naive_reports(plain, stored)
    by_kind = {kind: (c.said, c.sent, c.stored, c.unexpected) for kind, c in score.by_kind.items()}
    assert by_kind == naive["kinds"]
    assert (score.outages, score.known, score.delay_median_s) == (naive["outages"], naive["known"], naive["median_s"])
    assert score_reports(None, {}).reason == NOT_TOLD
    assert score_reports(rows(), {}).outages == 0
