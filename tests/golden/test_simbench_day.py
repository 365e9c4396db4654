"""The balance of a feeder and its areas for one day, against figures made by hand-written plain Python.

The golden figures come from SimBench's files through `tests.naive.radial`, which shares no code with the project. Here
the same day goes the way of real telemetry: registers, JSON, decoder, settling, feeder.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from grid.model import Role, UnitKind
from grid.ports import Directory
from ingest.decode import decode_message
from streams.steps.contribution import from_block, from_energies
from tests.memory import MemoryStore, views_of
from tests.unit.twin_grid import one_feeder
from twin.messages import MessageBuilder
from twin.scenario import Interval

CASE = json.loads((Path(__file__).parent / "simbench_feeder_day" / "case.json").read_text(encoding="utf-8"))


class EverySender(Directory):
    def __init__(self, kinds: dict[str, UnitKind]) -> None:
        self.kinds = kinds

    zone = UTC

    def unit_kind(self, unit: str) -> UnitKind | None:
        return self.kinds.get(unit)

    def may_send(self, gateway: str, unit: str) -> bool:
        return True


@pytest.fixture(scope="module")
def day() -> dict[str, list[Any]]:
    """Losses by unit over the day, interval by interval."""
    twin = one_feeder()
    views = views_of(twin.model)
    directory = EverySender({code: view.kind for code, view in views.items()})
    start = datetime.fromisoformat(CASE["start"])
    first = int((start - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1))
    intervals = [Interval(first + 900 * (i + 1), 900) for i in range(96)]
    builder, store = MessageBuilder(twin), MemoryStore()
    for readings in twin.readings(intervals):
        own = []
        for message in builder.build(readings):
            received_at_us = readings.interval.end_s * 1_000_000 + 1
            decoded = decode_message(message.topic, message.payload, received_at_us, directory)
            assert decoded.rejections == ()
            assert decoded.block is not None
            contribution, refused = from_block(decoded.block, views[decoded.block.unit], message.topic, b"")
            assert refused == []
            own.append(contribution)
        for energies in store.take(own).energies:
            store.take(from_energies(energies, views[energies.parent]))
    code_of = {view.unit_id: code for code, view in views.items()}
    losses: dict[str, list[Any]] = defaultdict(list)
    for (unit_id, *_), loss in sorted(store.losses.items()):
        losses[code_of[unit_id]].append(loss)
    return losses


def step_wh(unit: str) -> int:
    """What a day's sum can be off by because registers show whole steps: one step a meter."""
    twin = one_feeder()
    return sum(m.multiplier for m in twin.model.meters if m.unit == unit) + 1


@pytest.mark.parametrize("area", sorted(CASE["figures"]["areas"]))
def test_an_area_s_day(day: dict[str, list[Any]], area: str) -> None:
    want = CASE["figures"]["areas"][area]
    losses = day[area]
    assert len(losses) == 96
    assert all(loss.computable for loss in losses)
    step = step_wh(area)
    assert sum(loss.loss_wh for loss in losses) == pytest.approx(want["line_loss_wh"], abs=step)
    # Net inflow is what came through the transformer and what was generated, less what went back.
    net = sum(loss.inflow_wh - loss.outflow_wh for loss in losses)
    assert net == pytest.approx(want["supply_wh"] + want["generation_wh"] - want["sold_wh"], abs=step)


def test_the_feeder_s_day(day: dict[str, list[Any]]) -> None:
    want = CASE["figures"]["feeder"]
    areas = CASE["figures"]["areas"]
    losses = day[CASE["feeder"]]
    assert len(losses) == 96
    assert all(loss.computable for loss in losses)
    twin = one_feeder()
    # At the feeder's own meters, the areas' gateways and the dedicated customers.
    step = 1 + sum(m.multiplier for m in twin.model.meters if Role.GATEWAY in m.role)
    own = want["line_loss_wh"] + want["transformer_loss_wh"] + sum(a["transformer_loss_wh"] for a in areas.values())
    assert sum(loss.loss_wh for loss in losses) == pytest.approx(own, abs=step)
    inside = sum(a["line_loss_wh"] for a in areas.values())
    assert sum(loss.members_loss_wh for loss in losses) == pytest.approx(inside, abs=sum(map(step_wh, areas)))
    # The error bar is honest about the meters' classes and far wider than the registers' steps.
    assert all(loss.sigma_wh > 0 for loss in losses)
