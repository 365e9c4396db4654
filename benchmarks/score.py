"""How near what is stored of a city comes to its truth: two days of 40 areas, replayed and scored.

Once with exact meters, nothing lost and no events, and once with the usual errors, faults and events. The first says
what the way of computing adds; what the second adds to it is the city's.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.report import Result, main, result
from benchmarks.stack import benchmark_stack
from deploy.stack.postgres import superuser_dsn
from meterline.city import make_city
from meterline.city_files import write_city
from meterline.points_file import read_points
from meterline.replaying import ReplayOptions, provide_model, replay
from meterline.score.reading import score_truth
from meterline.score.report import Score
from store.connection import connect
from store.points import load_points
from twin.city import City
from twin.delivery_faults import DeliveryFaults
from twin.metering import MeterErrors

_AREAS, _DAYS, _SEED = 40, 2, 1


def measure() -> list[Result]:
    """The exact city and the usual one, each in a database of its own."""
    usual = make_city("demonstration", areas=_AREAS, days=_DAYS, seed=_SEED)
    exact = City(replace(usual.plan, events=(), counts=None, errors=MeterErrors.none(), faults=DeliveryFaults.none()))
    figures = []
    for name, city in (("exact meters", exact), ("the usual city", usual)):
        score = _scored(city)
        for kind in ("area", "feeder"):
            loss = score.loss[kind]
            for what, value, unit in (
                ("intervals with a loss", loss.completeness, "share"),
                ("mean error of the loss", loss.mean_abs_wh, "Wh"),
                ("mean error of the loss rate", loss.mean_abs_rate, "share"),
                ("truth within two stated σ", loss.band_coverage, "share"),
            ):
                if value is not None:
                    figures.append(result(f"{name}, {kind}: {what}", value, unit))
    return figures


def _scored(city: City) -> Score:
    with tempfile.TemporaryDirectory(prefix="meterline-benchmark-") as folder, benchmark_stack() as (spec, settings):
        out = Path(folder) / "city"
        write_city(city, out)
        open_target = partial(connect, superuser_dsn(spec, settings.database.name), "benchmark")
        provide_model(open_target, out / "grid.json", None)
        with open_target() as connection:
            load_points(connection, read_points(out / "points.json"))
            connection.commit()
        replay(ReplayOptions(files=(out / "messages.parquet",)), open_target)
        with open_target() as connection:
            return score_truth(connection, out / "truth")


if __name__ == "__main__":
    main(measure, __doc__ or "")
