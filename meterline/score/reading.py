"""Reads a truth folder and what the database has, and scores it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from meterline.score.association import Conclusion, score_associations
from meterline.score.conflicts import Found, StoredConflict, rows_found, score_conflicts
from meterline.score.detection import Alert, Detection, Place, detect, place_of
from meterline.score.losses import Pairs, StoredLosses, by_unit, join, pair, summarize
from meterline.score.report import Score, Truth, UnitError
from meterline.score.reports import ReportScore, score_reports
from store.connection import Connection
from store.score import (
    can_name_meters,
    count_alerts_outside,
    read_alerts,
    read_balances,
    read_device_events,
    read_doubted,
    read_meters_of_accounts,
    read_units,
    read_units_of_meters,
    start_reading,
)
from store.sync_conflicts import is_matched, read_found
from twin.events import Event
from twin.truth_files import (
    ASSOCIATIONS,
    Associations,
    Inconsistency,
    UnitRows,
    read_associations,
    read_events,
    read_inconsistencies,
    read_manifest,
    read_unit_rows,
)
from twin.truth_references import read_references
from twin.truth_reports import read_reports

#: An evaluation of alerts looks a day back, so one that opens so long after the span may still rest on it.
_LOOKS_BACK_S = 86_400


class ScoreError(RuntimeError):
    """There is nothing to compare; the message says why."""


def score_truth(
    connection: Connection,
    folder: Path,
    begin: datetime | None = None,
    end: datetime | None = None,
    ks: Sequence[int] = (10, 50),
) -> Score:
    """Compare what the database has with a truth, in one snapshot that changes nothing.

    Parameters
    ----------
    begin, end
        Only what lies between them; None = as far as the truth goes. Whole seconds count.
    ks
        Lengths of the lists of alerts whose precision is asked for.

    Raises
    ------
    twin.truth_tables.TruthError
        When the folder holds no truth.
    ScoreError
        When the database and the truth have no unit in common, or the truth nothing in that time.
    """
    manifest = read_manifest(folder)
    inconsistencies = read_inconsistencies(folder)
    begin_s = manifest.begin_s if begin is None else max(manifest.begin_s, int(begin.timestamp()))
    end_s = manifest.end_s if end is None else min(manifest.end_s, int(end.timestamp()))
    if begin_s >= end_s:
        raise ScoreError(f"the truth goes from {_text(manifest.begin_s)} to {_text(manifest.end_s)}")
    events = read_events(folder)
    associations = read_associations(folder) if (folder / ASSOCIATIONS).is_file() else None
    with connection.transaction():
        start_reading(connection)
        known = read_units(connection)
        codes, pairs = _read_pairs(connection, folder, begin_s, end_s, known)
        if not codes:
            raise ScoreError(f"the truth has no interval between {_text(begin_s)} and {_text(end_s)}")
        if not any(code in known for code in codes):
            raise ScoreError(
                f"the database knows none of the {len(codes)} units of the truth, such as {codes[0]}: "
                "is it the one that took this city's grid and readings?"
            )
        meters = manifest.counts.get("meters") if associations is None else len(associations.meter)
        detection, elsewhere, outside = _score_alerts(
            connection, events, associations, frozenset(codes), frozenset(known), begin_s, end_s, meters, ks
        )
        reports = _score_reports(connection, folder, {*codes, *_units_of(associations)}, known, begin_s, end_s)
        conflicts = None if inconsistencies is None else _read_conflicts(connection, folder, inconsistencies)
        doubted = read_doubted(connection, *_span(begin_s, end_s))
    kinds = [known[code][1] if code in known else None for code in codes]
    kind_of_row = np.array([kind or "unknown" for kind in kinds])[pairs.unit]
    errors = by_unit(pairs)
    return Score(
        truth=Truth(
            manifest.city, manifest.seed, _text(begin_s), _text(end_s), manifest.interval_s, len(codes), meters,
            len(events),
        ),
        loss={kind: summarize(pairs.part(kind_of_row == kind)) for kind in sorted({k or "unknown" for k in kinds})},
        units=[UnitError(codes[u], kinds[u], errors[u]) for u in sorted(errors, key=lambda u: codes[u])],
        detection=detection,
        alerts_elsewhere=elsewhere,
        alerts_outside=outside,
        device_events=reports,
        association=score_associations(
            associations,
            None if doubted is None else {m: Conclusion(area, phase) for m, (area, phase) in doubted.items()},
        ),
        conflicts=score_conflicts(inconsistencies, conflicts),
    )  # fmt: skip


def _read_conflicts(
    connection: Connection, folder: Path, inconsistencies: Sequence[Inconsistency]
) -> set[Found] | None:
    """Rows in which conflicts are open; None where nothing was ever matched."""
    if not is_matched(connection):
        return None
    stored = [
        StoredConflict(kind, system, table, key, tuple(_place(said) for said in records if "/" in said))
        for kind, system, table, key, records in read_found(connection)
    ]
    return rows_found(stored, inconsistencies, read_references(folder))


def _place(said: str) -> Found:
    title, _, key = said.partition("/")
    system, _, table = title.partition(".")
    return system, table, key


def _read_pairs(
    connection: Connection, folder: Path, begin_s: int, end_s: int, known: dict[str, tuple[int, str]]
) -> tuple[list[str], Pairs]:
    """Codes of the truth's units, and its intervals with what is stored of them; read piece by piece."""
    position: dict[str, int] = {}
    parts = []
    for rows in read_unit_rows(folder, begin_s, end_s):
        unit = np.array([position.setdefault(code, len(position)) for code in rows.units], np.int64)[rows.unit]
        stored = _read_stored(connection, rows, position, known)
        parts.append(pair(unit, rows.end_s, rows.interval_s, rows.energies.loss_wh, rows.energies.supply_wh, stored))
    return list(position), join(parts)


def _read_stored(
    connection: Connection, rows: UnitRows, position: dict[str, int], known: dict[str, tuple[int, str]]
) -> StoredLosses:
    """What is stored of the units and the time of a piece."""
    places = sorted((known[code][0], position[code]) for code in rows.units if code in known)
    ids, at = (np.array(column, np.int64) for column in zip(*places, strict=True)) if places else (np.empty(0),) * 2
    first, last = (datetime.fromtimestamp(int(s), UTC) for s in (rows.end_s.min(), rows.end_s.max()))
    b = read_balances(connection, [unit_id for unit_id, _ in places], first, last)
    whole = b.observed_us % 1_000_000 == 0
    return StoredLosses(
        unit=at[np.searchsorted(ids, b.unit_id[whole])].astype(np.int64),
        end_s=b.observed_us[whole] // 1_000_000,
        interval_s=b.interval_s[whole],
        loss_wh=b.loss_wh[whole].astype(np.float64),
        sigma_wh=b.sigma_wh[whole],
        computable=b.computable[whole],
    )


def _score_alerts(
    connection: Connection,
    events: Sequence[Event],
    associations: Associations | None,
    codes: frozenset[str],
    known: frozenset[str],
    begin_s: int,
    end_s: int,
    meters: int | None,
    ks: Sequence[int],
) -> tuple[Detection, int, int]:
    """The detection's score, and how many alerts were of other units and of another time."""
    span = _span(begin_s, end_s)
    raised = read_alerts(connection, *span)
    ours = codes if associations is None else codes.union(associations.true_unit, associations.recorded_unit)
    alerts = [Alert(a.alert_id, a.severity, a.unit, a.meter, a.opened_s, a.size_wh) for a in raised if a.unit in ours]
    places = _places(connection, events, associations)
    names = can_name_meters(connection)
    detection = detect(events, places, alerts, begin_s, end_s, known, meters, ks, names_meters=names)
    return detection, len(raised) - len(alerts), count_alerts_outside(connection, *span)


def _span(begin_s: int, end_s: int) -> tuple[datetime, datetime]:
    """From when until when alerts may open and doubts arise that are of the span."""
    return datetime.fromtimestamp(begin_s, UTC), datetime.fromtimestamp(end_s + _LOOKS_BACK_S, UTC)


def _units_of(associations: Associations | None) -> set[str]:
    return set() if associations is None else {u for u in associations.recorded_unit if u is not None}


def _score_reports(
    connection: Connection,
    folder: Path,
    units: set[str],
    known: dict[str, tuple[int, str]],
    begin_s: int,
    end_s: int,
) -> ReportScore:
    """The score of what meters reported of themselves; of the truth's units, by what they saw within the span."""
    span = (datetime.fromtimestamp(begin_s, UTC), datetime.fromtimestamp(end_s, UTC))
    stored = read_device_events(connection, sorted(known[unit][0] for unit in units if unit in known), *span)
    truth = read_reports(folder)
    return score_reports(None if truth is None else truth.within(begin_s * 1_000_000, end_s * 1_000_000), stored)


def _places(connection: Connection, events: Sequence[Event], associations: Associations | None) -> list[Place]:
    """Where each event can be seen: by the truth and by the records."""
    entities = sorted({event.entity for event in events})
    served = read_meters_of_accounts(connection, entities)
    meters = {*entities, *(f"{entity}-meter" for entity in entities), *(m for held in served.values() for m in held)}
    units: dict[str, set[str]] = defaultdict(set)
    units.update(read_units_of_meters(connection, sorted(meters)))
    if associations is not None:
        columns = (associations.meter, associations.true_unit, associations.recorded_unit)
        for meter, true, recorded in zip(*columns, strict=True):
            if meter in meters:
                units[meter].update(unit for unit in (true, recorded) if unit is not None)
    return [place_of(event, units, served) for event in events]


def _text(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")
