"""A day of a small grid as gateways send it: partial, late, repeated and out of order; and files of it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from store.connection import Connection

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Result tables, by the columns that name a row.
TABLES = {
    "telemetry.block": "unit_id, observed_at, interval_s",
    "loss.balance": "unit_id, observed_at, interval_s",
    "loss.superseded": "unit_id, observed_at, interval_s, revision",
}
#: Meters of `tests.small_grid.small_model` by unit, those at the gateway first, with the energy of an interval.
READINGS = {
    "A1": {"A1-master": 100, "A1-m1": 2_900, "A1-m2": 3_000},
    "A2": {"A2-master": 50, "A2-m1": 1_400, "A2-m2": 1_450},
    "F1": {"F1-head": 240},
    "F2": {"F2-head": 10},
}


@dataclass(frozen=True)
class Sent:
    """A message as a gateway sends it, and when it is received."""

    topic: str
    payload: bytes
    received_at: datetime


def a_day(start: datetime, intervals: int, seed: int = 1) -> list[Sent]:
    """Messages of all units in order of receipt; area A2 is read by registers, in some intervals by both."""
    chance = random.Random(seed)  # noqa: S311  # the same day at each run
    sent: list[Sent] = []
    registers = dict.fromkeys(READINGS["A2"], 1000)
    for n in range(1, intervals + 1):
        at = start + timedelta(minutes=15 * n)
        for number, (unit, readings) in enumerate(READINGS.items()):
            values = {meter: wh + chance.randrange(20) for meter, wh in readings.items()}
            columns: dict[str, dict[str, int]] = {"import_wh": values}
            if unit == "A2":
                registers = {meter: registers[meter] + wh for meter, wh in values.items()}
                columns = {"register_import_wh": dict(registers)} | (columns if n % 5 == 0 else {})
            sequence = n * 1_000 + number * 100
            first = at + timedelta(seconds=chance.uniform(5, 60))
            kind = chance.randrange(8)
            some = chance.sample(sorted(values), k=max(1, len(values) - 1))
            if kind == 0:  # hours late
                sent.append(_message(unit, at, sequence, columns, values, at + timedelta(hours=chance.uniform(1, 9))))
                continue
            if kind == 1:  # one meter a day late, after the final limit or before it
                sent.append(_message(unit, at, sequence, columns, some, first))
                late = at + timedelta(hours=chance.choice([20, 24.5, 26, 49]), seconds=chance.uniform(1, 99))
                sent.append(_message(unit, at, sequence + 1, columns, values, late))
                continue
            sent.append(_message(unit, at, sequence, columns, values, first))
            if kind == 2:  # the same again
                sent.append(_message(unit, at, sequence, columns, values, first + timedelta(seconds=200)))
            elif kind == 3:  # corrected, before the provisional limit or after it
                more = {name: {m: wh + 7 for m, wh in column.items()} for name, column in columns.items()}
                later = first + timedelta(seconds=chance.choice([30, 400, 90_000]))
                sent.append(_message(unit, at, sequence + 2, more, some, later))
            elif kind == 4:  # an older one comes later
                less = {name: {m: wh - 5 for m, wh in column.items()} for name, column in columns.items()}
                sent.append(_message(unit, at, sequence - 50, less, some, first + timedelta(seconds=500)))
    return sorted(sent, key=lambda s: s.received_at)


def _message(
    unit: str,
    at: datetime,
    sequence: int,
    columns: dict[str, dict[str, int]],
    meters: Iterable[str],
    received_at: datetime,
) -> Sent:
    wanted = list(meters)
    fields: dict[str, Any] = {
        "sequence": sequence,
        "observed_at": at.isoformat(),
        "interval_s": 900,
        "meter": wanted,
        "voltage_a_v": [230.5] * len(wanted),
        **{name: [column[meter] for meter in wanted] for name, column in columns.items()},
    }
    gateway = "rtu" if unit.startswith("F") else "headend"
    return Sent(f"meterline/v1/{gateway}/block/{unit}", json.dumps(fields).encode(), received_at)


def write_log(path: Path, sent: Iterable[Sent]) -> Path:
    """The messages as they are, as Parquet."""
    messages = list(sent)
    columns = {
        "topic": [s.topic for s in messages],
        "payload": pa.array([s.payload for s in messages], pa.binary()),
        "received_at": pa.array([s.received_at for s in messages], pa.timestamp("us", "UTC")),
    }
    pq.write_table(pa.table(columns), path)
    return path


def readings_of(sent: Iterable[Sent]) -> pa.Table:
    """The messages as one row a meter."""
    rows = []
    for s in sent:
        fields = json.loads(s.payload)
        _, _, gateway, _, unit = s.topic.split("/")
        plain = {name: fields.pop(name) for name in ("sequence", "interval_s")}
        observed_at = datetime.fromisoformat(fields.pop("observed_at"))
        for values in zip(*fields.values(), strict=True):
            row = {"gateway": gateway, "unit": unit, "observed_at": observed_at, "received_at": s.received_at}
            rows.append(row | plain | dict(zip(fields, values, strict=True)))
    names = sorted({name for row in rows for name in row})
    table = pa.table({name: [row.get(name) for row in rows] for name in names})
    for name in ("observed_at", "received_at"):
        table = table.set_column(names.index(name), name, table.column(name).cast(pa.timestamp("us", "UTC")))
    return table


def microseconds(at: datetime) -> int:
    """Since 1970 UTC, exactly."""
    return (at - EPOCH) // timedelta(microseconds=1)


def results(connection: Connection) -> dict[str, list[Any]]:
    """All rows of the result tables, every column but when it was recorded."""
    return {
        table: [
            row[0] for row in connection.execute(f"select to_jsonb(t) - 'recorded_at' from {table} t order by {key}")
        ]
        for table, key in TABLES.items()
    }
