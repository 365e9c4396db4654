"""Making a week of the whole city as files: 412 areas, quarter-hours of three load steps and more, physics included.

Beside it, the power flow of the same steps as one balanced network, by the same engine on as many threads: what physics
costs at least.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.report import Result, main, result
from meterline.city import make_city
from meterline.city_files import write_city
from twin.physics import Physics
from twin.truth_files import read_unit_rows

_DAYS = 7
_PEER_STEPS = 48
_TARGET_S = 600.0


def measure() -> list[Result]:
    """The week once, then some steps of the peer."""
    city = make_city("demonstration", days=_DAYS, seed=1)
    begin, worked = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory(prefix="meterline-benchmark-") as folder:
        out = Path(folder) / "city"
        written = write_city(city, out)
        seconds, processor = time.perf_counter() - begin, time.process_time() - worked
        size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
        worst = 0.0
        for rows in read_unit_rows(out / "truth"):
            e = rows.energies
            used = e.sold_wh - e.generation_wh + e.technical_wh + e.unmetered_wh
            through = np.maximum(e.sold_wh + e.generation_wh + np.abs(e.unmetered_wh), 1.0)
            worst = max(worst, float((np.abs(e.import_wh - e.export_wh - used) / through).max()))
    steps = written.intervals * city.plan.per_interval
    return [
        result("a week of the city as files", seconds, "s", _TARGET_S, less_is_better=True),
        result("processor time of it", processor, "s"),
        result("load steps a second", steps / seconds, "steps/s", peer="balanced power flow alone", peer_value=_peer()),
        result("worst gap of energy in an area or feeder", worst, "", 1e-6, less_is_better=True),
        result("messages", float(written.messages), ""),
        result("size", size / 2**20, "MiB"),
    ]


def _peer() -> float:
    city = make_city("demonstration", seed=1)
    points = city.network.points
    rated_w = np.array([p.active_w * (-1 if p.generation else 1) for p in points])
    active = rated_w * np.random.default_rng(1).uniform(0, 0.5, (_PEER_STEPS, len(points)))
    physics = Physics(city.network, threads=os.cpu_count() or 1)
    begin = time.perf_counter()
    for first in range(0, _PEER_STEPS, 8):
        physics.solve(active[first : first + 8], 0.2 * np.abs(active[first : first + 8]))
    return _PEER_STEPS / (time.perf_counter() - begin)


if __name__ == "__main__":
    main(measure, __doc__ or "")
