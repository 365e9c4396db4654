"""What meters truly reported of themselves, in the truth folder: ``device_events.parquet``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.device_events import EVENT_KINDS
from twin.device_events import Said
from twin.truth_tables import INSTANT, WORD, make_writer, open_table

DEVICE_EVENTS = "device_events.parquet"
_SECOND_US = 1_000_000

REPORT_SCHEMA = pa.schema(
    [
        pa.field("number", pa.int64(), nullable=False),
        pa.field("unit", WORD, nullable=False),
        pa.field("meter", pa.string(), nullable=False),
        pa.field("kind", WORD, nullable=False),
        pa.field("observed_at", INSTANT, nullable=False),
        pa.field("sent_at", INSTANT),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class ReportRows:
    """What meters said; arrays of shape (n,), instants in microseconds since 1970 UTC, `sent_us` 0 = never came."""

    number: NDArray[np.int64]
    unit: list[str]
    meter: list[str]
    kind: list[str]
    observed_us: NDArray[np.int64]
    sent_us: NDArray[np.int64]

    def within(self, begin_us: int, end_us: int) -> ReportRows:
        """Those that were seen in [begin, end)."""
        rows = np.flatnonzero((self.observed_us >= begin_us) & (self.observed_us < end_us))
        unit, meter, kind = ([column[row] for row in rows.tolist()] for column in (self.unit, self.meter, self.kind))
        return ReportRows(self.number[rows], unit, meter, kind, self.observed_us[rows], self.sent_us[rows])


def write_reports(
    said: Said, meters: Sequence[str], units: Sequence[str], begin_s: int, end_s: int, folder: Path
) -> int:
    """Write what was said in [begin, end), by event, unit, kind and instant; returns how much.

    Parameters
    ----------
    meters
        Asset number of the meter of each row of `said`.
    units
        Codes, by position.
    """
    rows = np.flatnonzero((said.told_us >= begin_s * _SECOND_US) & (said.told_us < end_s * _SECOND_US))
    sent_us = said.sent_us[rows]
    columns = [
        pa.array(said.number[rows]),
        pa.array(units, pa.string()).take(pa.array(said.unit[rows])).dictionary_encode().cast(WORD),
        pa.array([meters[row] for row in rows.tolist()], pa.string()),
        pa.array(EVENT_KINDS, pa.string()).take(pa.array(said.kind[rows])).dictionary_encode().cast(WORD),
        pa.array(said.observed_us[rows]).cast(INSTANT),
        pa.array(sent_us, mask=sent_us == 0).cast(INSTANT),
    ]
    with make_writer(folder / DEVICE_EVENTS, REPORT_SCHEMA) as writer:
        writer.write_table(pa.Table.from_arrays(columns, schema=REPORT_SCHEMA))
    return len(rows)


def read_reports(folder: Path) -> ReportRows | None:
    """What `write_reports` wrote; None where the folder doesn't say.

    Raises
    ------
    TruthError
        When the file is another.
    """
    if not (folder / DEVICE_EVENTS).is_file():
        return None
    table = open_table(folder / DEVICE_EVENTS, REPORT_SCHEMA).read()
    return ReportRows(
        number=table["number"].to_numpy(),
        unit=table["unit"].to_pylist(),
        meter=table["meter"].to_pylist(),
        kind=table["kind"].to_pylist(),
        observed_us=table["observed_at"].cast(pa.int64()).to_numpy(),
        sent_us=table["sent_at"].cast(pa.int64()).fill_null(0).to_numpy(),
    )
