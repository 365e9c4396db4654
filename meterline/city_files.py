"""A city's days as files: messages that a replay reads, the grid's records, the source systems, and the truth."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from meterline.model_file import write_model
from twin.city import City, Stretch
from twin.city_play import CityPlay
from twin.delivery_faults import DeliveryTruth, Fate
from twin.message_files import write_messages
from twin.outbox import Sent, in_order_of_sending
from twin.recorded import associations, recorded_changes
from twin.replicas import join_models
from twin.sources.headend import write_headend
from twin.sources.write import write_sources, write_truth
from twin.telemetry_points import points_file
from twin.truth_files import Associations, Manifest, UnitTruthWriter, write_associations, write_events, write_manifest
from twin.truth_reports import write_reports

#: Intervals that are done, of how many, and messages so far.
Progress = Callable[[int, int, int], None]


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    intervals: int
    messages: int
    units: int
    meters: int
    events: int
    begin: datetime
    end: datetime


def check_new(folder: Path) -> None:
    """Raise FileExistsError where a folder holds anything."""
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(errno.EEXIST, "the folder isn't empty: name another for a city's files", str(folder))


def write_city(city: City, folder: Path, progress: Progress | None = None, rounds: int | None = None) -> Written:
    """Write the city's planned days into an empty or new folder; the same plan gives the same bytes.

    `messages.parquet`, `grid.json`, `points.json`, `changes.jsonl`, `sources/` and `truth/`, whose manifest comes last.

    Parameters
    ----------
    rounds
        Only the first so many intervals; None = all.

    Raises
    ------
    FileExistsError
        When the folder holds anything.
    """
    check_new(folder)
    truth = folder / "truth"
    truth.mkdir(parents=True)
    plan = city.plan
    intervals = plan.days * 86_400 // plan.interval_s
    intervals = intervals if rounds is None else min(intervals, rounds)
    done = [0, 0]
    with UnitTruthWriter(truth, city.truth_units) as units, _DeliveryFile(truth / "delivery.parquet", city) as fates:

        def seen(stretch: Stretch) -> None:
            units.write(stretch.steps.ends_s, plan.interval_s, stretch.truth)
            fates.write(play.delivery.truth)
            done[0] += len(stretch.steps.ends_s)
            if progress is not None:
                progress(done[0], intervals, done[1])

        def counted(messages: Iterable[Sent]) -> Iterator[Sent]:
            for message in messages:
                done[1] += 1
                yield message

        play = CityPlay(city, seen)
        messages = in_order_of_sending(play.made(plan.begin_s, intervals))
        write_messages(folder / "messages.parquet", counted(messages))
        fates.write(play.delivery.truth)
    _write_records(city, play, folder, truth)
    end_s = plan.begin_s + intervals * plan.interval_s
    counts = {
        "units": len(city.truth_units),
        "meters": len(city.model.meters),
        "events": len(city.events),
        "intervals": intervals,
        "messages": done[1],
        "device_events": _write_reports(city, play, truth, end_s),
    }
    write_manifest(Manifest(plan.city, plan.seed, plan.begin_s, end_s, plan.interval_s, counts), truth)
    return Written(
        intervals,
        done[1],
        counts["units"],
        counts["meters"],
        counts["events"],
        datetime.fromtimestamp(plan.begin_s, UTC),
        datetime.fromtimestamp(end_s, UTC),
    )


def write_copies(
    make: Callable[[int], City],
    copies: int,
    folder: Path,
    progress: Progress | None = None,
    rounds: int | None = None,
) -> Written:
    """Write so many copies of a city, for load tests: each a whole one in `copy-N`, one after the other.

    `grid.json` and `points.json` of all lie beside them.

    Parameters
    ----------
    make
        The city of a copy's number.
    rounds
        As for `write_city`.

    Raises
    ------
    FileExistsError
        When the folder holds anything.
    """
    check_new(folder)
    done: list[Written] = []
    models, points = [], []
    for copy in range(copies):
        city = make(copy)
        done.append(write_city(city, folder / f"copy-{copy}", progress, rounds))
        models.append(city.recorded)
        points += json.loads((folder / f"copy-{copy}" / "points.json").read_bytes())
    write_model(folder / "grid.json", join_models(models))
    (folder / "points.json").write_text(json.dumps(points, ensure_ascii=False) + "\n", "utf-8")
    return replace(
        done[0],
        messages=sum(w.messages for w in done),
        units=sum(w.units for w in done),
        meters=sum(w.meters for w in done),
        events=sum(w.events for w in done),
    )


def _write_records(city: City, play: CityPlay, folder: Path, truth: Path) -> None:
    write_model(folder / "grid.json", city.recorded)
    (folder / "points.json").write_bytes(points_file(play.points))
    changes = recorded_changes(city.events, city.model, city.plan.begin_s)
    (folder / "changes.jsonl").write_text("".join(f"{json.dumps(c, ensure_ascii=False)}\n" for c in changes), "utf-8")
    of_sources = write_sources(city.network, city.recorded, folder / "sources", city.plan.seed)
    write_headend(of_sources, folder / "sources")
    write_truth(of_sources, truth)
    write_events(city.events, truth)
    rows = associations(city.model, city.recorded)
    names = Associations.__dataclass_fields__
    write_associations(Associations(**{name: [getattr(row, name) for row in rows] for name in names}), truth)


def _write_reports(city: City, play: CityPlay, truth: Path, end_s: int) -> int:
    said = play.device_events.said
    rows = zip(said.meter.tolist(), said.observed_us.tolist(), strict=True)
    meters = [play.code(position, at_us) for position, at_us in rows]
    return write_reports(said, meters, [unit.code for unit in city.units], city.plan.begin_s, end_s, truth)


class _DeliveryFile:
    """What became of each reading and message that didn't come once and in time."""

    _SCHEMA = pa.schema(
        [
            ("fate", pa.dictionary(pa.int8(), pa.string())),
            ("kind", pa.string()),
            ("unit", pa.string()),
            ("meter", pa.string()),
            ("observed_at", pa.timestamp("us", tz="UTC")),
            ("interval_s", pa.int32()),
            ("sent_at", pa.timestamp("us", tz="UTC")),
        ]
    )

    def __init__(self, path: Path, city: City) -> None:
        self._writer = pq.ParquetWriter(path, self._SCHEMA, compression="zstd")
        self._units = pa.array([unit.code for unit in city.units])
        self._meters = pa.array([meter.code for meter in city.recorded.meters])

    def write(self, truth: DeliveryTruth) -> None:
        rows = truth.take()
        if not len(rows):
            return
        names = pa.array([fate.name.lower() for fate in Fate])
        first = min(Fate)
        sent = pa.array(rows["sent_us"], mask=rows["sent_us"] == 0).cast(pa.timestamp("us", tz="UTC"))
        columns = [
            pa.DictionaryArray.from_arrays(pa.array(rows["fate"] - first, pa.int8()), names),
            pa.array(rows["kind"]),
            self._units.take(pa.array(rows["unit"])),
            self._meters.take(pa.array(rows["meter"], mask=rows["meter"] < 0)),
            pa.array(rows["end_s"] * 1_000_000).cast(pa.timestamp("us", tz="UTC")),
            pa.array(rows["interval_s"]),
            sent,
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._SCHEMA))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
